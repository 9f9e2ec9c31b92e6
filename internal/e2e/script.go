//go:build linux

package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"airlock/internal/realtest"
)

// Scripts runs every script of a folder, side by side. Each has a home folder
// of its own, $HOME, and nothing of the person's environment but the PATH.
// Beside testscript's own commands they have:
//
//	exits CODE COMMAND…      run a command that must end with this exit code
//	registry NAME            start an empty registry: $NAME is its host:port
//	corpus NAME              the registry with realtest's corpus, to be left as it
//	                         is; $SINGLE and so on are the images' digests,
//	                         $SINGLE_ID those of their configs
//	sftp NAME                start an SFTP server that the commands know: $NAME is the
//	                         URL of its folder, $NAME_ROOT the folder itself
//	catalog HOST [REPO…]     the registry has just these repositories
//	requests HOST METHOD PART N   and had so many requests with PART in the path
//	dockerd classic|containerd    a Docker engine without images, for the docker
//	                         command as well; one script at a time has it
//	images N                 that engine has so many images
//	signer NAME [KEY]        make a key for NAME, and add it to allowed_signers
//	bulk NAME DIR MIB        an OCI layout with an image of one layer of random
//	                         bytes: $NAME is its pinned reference
//	flipbyte FILE OFFSET     invert a byte; an offset below zero counts from the end
//	truncatefile FILE N      cut N bytes off the end
//	masked FILE              write the last standard output to FILE, with *** for
//	                         digests, fingerprints, keys, times, sizes and ports
//	hint                     run the command that the last hint names after its
//	                         last ": ", in a shell
func Scripts(t *testing.T, dir string) {
	t.Helper()
	s := &servers{corpus: realtest.Registry(t).PushCorpus()}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("AIRLOCK_UPDATE_SCRIPTS") != "",
		Cmds:                s.commands(),
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, ".home")
			env.Setenv("HOME", home)
			env.Values[stateKey{}] = &state{tb: env.T().(testing.TB), registries: map[string]*realtest.RegistryServer{}}
			return os.Mkdir(home, 0o700)
		},
	})
}

// servers is what scripts share.
type servers struct {
	corpus  *realtest.Corpus
	classic sync.Mutex // held by the script that uses the engine
	today   sync.Mutex
}

type stateKey struct{}

// state is a script's own.
type state struct {
	tb         testing.TB
	registries map[string]*realtest.RegistryServer // by host:port
	engine     *realtest.DockerDaemon
}

func of(ts *testscript.TestScript) *state { return ts.Value(stateKey{}).(*state) }

type command = func(ts *testscript.TestScript, neg bool, args []string)

func (s *servers) commands() map[string]command {
	all := map[string]command{"dockerd": s.dockerd, "corpus": s.setCorpus}
	maps.Copy(all, fileCommands())
	maps.Copy(all, serverCommands())
	for name, run := range all {
		all[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			if neg {
				ts.Fatalf("%s cannot be negated", name)
			}
			run(ts, neg, args)
		}
	}
	return all
}
