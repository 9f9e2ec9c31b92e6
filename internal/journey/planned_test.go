package journey_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"airlock/internal/journey"
)

// TestOpenPlan holds that a plan is found again as it was kept, and that what does not
// fit the bundle is no plan.
func TestOpenPlan(t *testing.T) {
	b, folder := bundle(t, 6), t.TempDir()
	kept, err := b.OpenPlan(folder)
	must(t, err)
	if len(kept.Sticks) > 0 {
		t.Fatalf("a plan out of nothing: %v", kept.Sticks)
	}
	must(t, b.Replan(kept.Plan, upTo(3<<20), upTo(3<<20)))
	kept.Sticks[0].Done = true
	must(t, kept.Save())
	again, err := b.OpenPlan(folder)
	must(t, err)
	if !reflect.DeepEqual(again.Plan, kept.Plan) || len(again.Sticks) == 0 {
		t.Errorf("kept %v, found %v", kept.Plan, again.Plan)
	}
	path := filepath.Join(folder, b.Texts.Root.Hex()+".json")
	for _, wrong := range []string{"", "{", `{"sticks":[{"files":["x.000.vol"]}]}`, `{"sticks":[]}`} {
		must(t, os.WriteFile(path, []byte(wrong), 0o600))
		if got, err := b.OpenPlan(folder); err != nil || !reflect.DeepEqual(got.Plan, &journey.Plan{}) {
			t.Errorf("%q is taken for a plan: %v, %v", wrong, got, err)
		}
	}
}
