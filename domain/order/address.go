package order

import (
	"maps"
	"slices"
	"strings"
)

// sortedKeys makes findings about an object come in the same order each time.
func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// escaped is a member's name as one token of a JSON pointer.
func escaped(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
