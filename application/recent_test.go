package application

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestRecentRemembersTheNewestCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r recent
		var naive []place // the oldest first, one for each command
		revision := int64(-1)
		for range rapid.IntRange(0, 40).Draw(t, "bursts") {
			for range rapid.IntRange(1, 80).Draw(t, "commands") {
				id := uuid.New()
				for range rapid.IntRange(1, 3).Draw(t, "batch") {
					revision++
					r = r.with(id.String(), revision)
				}
				naive = append(naive, place{id, revision})
			}
			if rapid.Bool().Draw(t, "through a snapshot") {
				unpacked, err := unpackRecent(r.pack())
				if err != nil {
					t.Fatal(err)
				}
				r = unpacked
			}
		}
		kept := naive[max(0, len(naive)-CommandsRemembered):]
		parts := r.newest()
		got := append(append([]place{}, parts[1]...), parts[0]...)
		if diff := cmp.Diff(append([]place{}, kept...), got, cmp.AllowUnexported(place{})); diff != "" {
			t.Fatalf("remembered (-want +got):\n%s", diff)
		}
		for i, p := range naive {
			at, ok := r.find(p.command)
			if want := i >= len(naive)-CommandsRemembered; ok != want || ok && at != p.revision {
				t.Fatalf("command %d of %d: found %v at %d, want %v at %d", i, len(naive), ok, at, want, p.revision)
			}
		}
		if r.full() != (len(naive) >= CommandsRemembered) {
			t.Fatalf("full is %v at %d commands", r.full(), len(naive))
		}
		if len(kept) > 0 && r.oldest() != kept[0].revision {
			t.Fatalf("oldest is %d, want %d", r.oldest(), kept[0].revision)
		}
	})
}

func TestRecentCopiesAreIndependent(t *testing.T) {
	var base recent
	for i := range int64(tailLength + 10) {
		base = base.with(uuid.NewString(), i)
	}
	first, second := uuid.New(), uuid.New()
	a, b := base.with(first.String(), 100), base.with(second.String(), 100)
	if _, ok := a.find(second); ok {
		t.Error("one copy knows what the other one was told")
	}
	if _, ok := b.find(first); ok {
		t.Error("one copy knows what the other one was told")
	}
	if _, ok := base.find(first); ok {
		t.Error("the original knows what a copy was told")
	}
}

func TestRecentIgnoresCommandsThatAreNotOurs(t *testing.T) {
	r := recent{}.with("", 0).with("legacy-7", 1)
	if len(r.tail) != 0 {
		t.Errorf("kept %d", len(r.tail))
	}
}

func TestUnpackRefusesDamage(t *testing.T) {
	whole := recent{}.with(uuid.NewString(), 5).with(uuid.NewString(), 9).pack()
	for _, damaged := range []string{"!", whole[:len(whole)-3], whole + "AAAA"} {
		if _, err := unpackRecent(damaged); err == nil {
			t.Errorf("%q was taken", damaged)
		}
	}
}
