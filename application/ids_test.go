package application

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
	"pgregory.net/rapid"
)

func TestCommandIDStandsForPrincipalAndKey(t *testing.T) {
	if first, again := CommandID("ann", "k1"), CommandID("ann", "k1"); first != again {
		t.Error("the same pair gives two ids")
	}
	seen := map[string]string{}
	for _, pair := range [][2]string{{"ann", "k1"}, {"ann", "k2"}, {"bob", "k1"}, {"a", "nnk1"}, {"ann", ""}, {"", "annk1"}} {
		id := CommandID(pair[0], pair[1])
		if other, taken := seen[id]; taken {
			t.Errorf("%q and %s share an id", pair, other)
		}
		seen[id] = pair[0] + "/" + pair[1]
		if !repeatable(uuid.MustParse(id)) {
			t.Errorf("%s does not count as repeatable", id)
		}
	}
	// What keys mean is stored; this id must never change.
	if got, want := CommandID("ann", "k1"), "91e7e72f-4e2b-5d06-9966-4fa61c7cf2dc"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAggregateIDIsAUUIDv7OfItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "ms"))
		command := uuid.New()
		id := aggregateID(command, at)
		parsed, err := uuid.Parse(id)
		if err != nil || parsed.Version() != 7 || parsed.Variant() != uuid.RFC4122 || !domain.ValidUUID(id) {
			t.Fatalf("%s: %v, version %d", id, err, parsed.Version())
		}
		sec, nsec := parsed.Time().UnixTime()
		if got := time.Unix(sec, nsec).UnixMilli(); got != at.UnixMilli() {
			t.Fatalf("%s is of %d, want %d", id, got, at.UnixMilli())
		}
		if aggregateID(command, at) != id {
			t.Fatal("a repeat makes another id")
		}
		if aggregateID(uuid.New(), at) == id {
			t.Fatal("two commands make the same id")
		}
	})
}

func TestNamesThatStreamsMayCarry(t *testing.T) {
	for id, want := range map[string]bool{
		"018f2b8e-7c11-7000-8000-000000000001": true, "123": true, "AB-1.x_y:z": true,
		"": false, "a/b": false, "a b": false, "ä": false, "$x": false,
		"0123456789012345678901234567890123456789012345678901234567890123x": false,
	} {
		if got := isName(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
