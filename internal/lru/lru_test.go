package lru

import (
	"errors"
	"fmt"
	"testing"
)

// TestWeights holds that values are kept up to their limit together, the ones
// used last, and that one which is too heavy alone is kept until the next.
func TestWeights(t *testing.T) {
	c := NewWeighted[int](10, func(s string) int { return len(s) })
	loads := 0
	get := func(key, weight int) {
		t.Helper()
		want := fmt.Sprintf("%*d", weight, key)
		got, err := c.Get(key, func() (string, error) { loads++; return want, nil })
		if err != nil || got != want {
			t.Fatalf("Get(%d) = %q, %v", key, got, err)
		}
	}
	for i, step := range []struct{ key, weight, loads, kept int }{
		{1, 4, 1, 4}, {2, 6, 2, 10}, {1, 4, 2, 10}, {3, 1, 3, 5}, {2, 6, 4, 7}, {4, 30, 5, 30}, {4, 30, 5, 30}, {3, 1, 6, 1},
	} {
		get(step.key, step.weight)
		if loads != step.loads || c.weight != step.kept {
			t.Errorf("step %d: %d loads and a weight of %d, want %d and %d", i, loads, c.weight, step.loads, step.kept)
		}
	}
}

// TestErrorIsNotKept holds that a failed load is tried again.
func TestErrorIsNotKept(t *testing.T) {
	c := New[string, int](2)
	failure := errors.New("no")
	if _, err := c.Get("a", func() (int, error) { return 0, failure }); err != failure {
		t.Errorf("error %v", err)
	}
	c.Put("a", 5)
	if v, err := c.Get("a", func() (int, error) { return 0, failure }); v != 5 || err != nil {
		t.Errorf("Get = %d, %v", v, err)
	}
}

// TestDrop holds that what is dropped is loaded again, and weighs nothing.
func TestDrop(t *testing.T) {
	c := NewWeighted[int](10, func(s string) int { return len(s) })
	c.Put(1, "12345")
	c.Put(2, "67890")
	c.Drop(func(key int) bool { return key > 1 })
	c.Put(3, "abcde")
	never := func() (string, error) { return "", errors.New("it was not kept") }
	for key, want := range map[int]string{1: "12345", 3: "abcde"} {
		if got, err := c.Get(key, never); got != want || err != nil {
			t.Errorf("%d: got %q, %v, want %q", key, got, err, want)
		}
	}
	if got, err := c.Get(2, func() (string, error) { return "again", nil }); got != "again" || err != nil {
		t.Errorf("2, which was dropped: got %q, %v", got, err)
	}
}
