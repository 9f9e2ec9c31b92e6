package journey

import (
	"airlock/internal/manifest"
	"airlock/internal/transfer"
)

// Settle sweeps after a bundle that is complete at a place: what the journal
// knows of its files there, and in a folder what attempts that were killed left
// of them. It touches nothing that has another name, and tells of no error: the
// bundle is complete without it.
func (b *Bundle) Settle(at Place, sender transfer.Sender) { b.settle(at, sender, b.names()) }

func (b *Bundle) settle(at Place, sender transfer.Sender, names []string) {
	for _, name := range names {
		if f, err := b.openFile(name); err == nil {
			_ = sender.Forget(at, f.File)
			f.closer.Close()
		}
	}
	dir, ok := at.(*transfer.Dir)
	if !ok {
		return
	}
	swept := append([]string{manifest.SumsName}, names...)
	_ = b.eachSignature(func(name string, _ []byte) error {
		swept = append(swept, name)
		return nil
	})
	_ = dir.Sweep(swept...)
}
