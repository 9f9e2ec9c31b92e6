// Package realtest starts the real programs that Airlock's tests talk to, in
// temporary folders on free ports of the loopback interface, and ends them by
// process id when the test ends.
//
// There is a constructor for each: [Registry] (distribution), [Docker] (an
// engine with the classic image store), [DockerContainerd] (today's engine with
// containerd's store), [SSHD] (OpenSSH) and [ProFTPD] (another SFTP server).
// [PushCorpus] fills a registry with small images whose digests are known, and
// [Tool] finds a program such as skopeo. scripts/install-test-tools installs
// all of them.
//
// # Guarantees
//
//   - A constructor returns only after the program has answered.
//   - At the end of the test (of the test binary, for what [Main] shares) each
//     program has been told to end, then killed; no process, mount or file that
//     it made in its folder is left, or the test fails.
//   - If the test binary dies without cleaning up (a timeout, a panic), the
//     kernel tells the programs to end. Their folders, named /tmp/al-*, go the
//     next time that this package is used.
//   - A test that fails has the end of each program's log in its output.
//   - Nothing of the person's configuration is read: no ~/.docker, ~/.ssh, proxy.
//
// A program that is missing skips the test with the reason.
//
// # Environment
//
// AIRLOCK_REQUIRE=all makes a test fail where it would be skipped because
// something is missing. AIRLOCK_TOOLS is the folder whose bin folder holds the
// programs that scripts/install-test-tools builds; unset, it is
// .cache/airlock-tools in the home folder.
//
// Only tests import this package. It works on Linux only; elsewhere it is
// empty, so a test that imports it begins with //go:build linux. The Docker
// engines and a chroot need root.
package realtest
