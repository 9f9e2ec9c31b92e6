package journey

import (
	"encoding/json"
	"os"

	"airlock/internal/manifest"
	"airlock/internal/transfer"
)

// PlanFile is a bundle's plan that is remembered between runs, so that sticks can be
// written one a run, on one machine. Without it, the sticks themselves say what they are.
type PlanFile struct {
	*Plan
	dir  *transfer.Dir
	name string
}

const maxPlanFile = 2 << 20

// OpenPlan opens what earlier runs have planned for the bundle and kept in a folder;
// the plan is empty if there is none, or none that fits the bundle.
func (b *Bundle) OpenPlan(folder string) (*PlanFile, error) {
	dir, err := transfer.NewDir(folder)
	if err != nil {
		return nil, err
	}
	f := &PlanFile{&Plan{}, dir, b.Texts.Root.Hex() + ".json"}
	text, err := manifest.ReadFile(os.DirFS(folder), f.name, maxPlanFile)
	if err != nil {
		return f, nil
	}
	kept := &Plan{}
	if json.Unmarshal(text, kept) == nil && b.Covers(kept) {
		f.Plan = kept
	}
	return f, nil
}

// Save keeps the plan as it is now.
func (f *PlanFile) Save() error {
	text, err := json.MarshalIndent(f.Plan, "", " ")
	if err != nil {
		return err
	}
	return f.dir.Put(f.name, append(text, '\n'))
}
