package readmodels

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemark-dev/tidemark/domain"
)

// A tracer watches a document being folded and remembers, for each value that its screen shows, the events
// that made it: so many that folding them alone gives the value again. An event made a value if it changed
// it, or if it changed something that the value is computed from; rules say what that is. So a gift among
// the lines explains the total although it did not move it: it decides what later pieces of it cost.
//
// Values are known by keys: paths in which elements of a list are named by what they are, items[TEA], not by
// their place, which other elements change. Keys that begin with "~." belong to what a value is computed
// from and the screen doesn't show.
type tracer struct {
	rules  rules
	events int
	before map[string]string // key → value
	trails map[string]*trail // of shown values, of elements, and of rules
}

// view is what a screen shows of a document, and what else that is computed from.
type view struct {
	shown any
	basis any
	fresh bool // made anew by each event, as rows are
}

// rules say which values are computed from which others: key → keys, with * for any element, and = for the
// element that the value itself is in. A rule also holds for what is inside of its key and its sources.
type rules map[string][]string

// leaf is one value: its path in the answer, its key, and what it is.
type leaf struct{ path, key, value string }

// trail is the newest events of one key.
type trail struct {
	steps   []traced
	omitted int
}

type traced struct {
	number int // of the event within the fold
	cause  Cause
}

func newTracer(r rules) *tracer {
	return &tracer{rules: r, before: map[string]string{}, trails: map[string]*trail{}}
}

// take notes what an event changed.
func (t *tracer) take(event domain.Recorded, v view) error {
	leaves, err := leavesOf(v)
	if err != nil {
		return err
	}
	t.events++
	if v.fresh {
		t.forgetShown()
	}
	after := make(map[string]string, len(leaves))
	for _, l := range leaves {
		after[l.key] = l.value
	}
	changed := t.compare(after)
	step := traced{t.events, causeOf(event)}
	for key := range changed {
		if _, is := after[key]; !is {
			delete(t.trails, key)
			continue
		}
		t.add(key, step)
	}
	t.elements(changed, after, step)
	t.follow(changed, after, step)
	t.before = after
	return nil
}

// compare gives the keys whose value has changed, came or went.
func (t *tracer) compare(after map[string]string) map[string]bool {
	changed := map[string]bool{}
	for key, value := range after {
		if old, had := t.before[key]; !had || old != value {
			changed[key] = true
		}
	}
	for key := range t.before {
		if _, is := after[key]; !is {
			changed[key] = true
		}
	}
	return changed
}

// elements notes which event made an element of a list, and forgets those that are gone.
func (t *tracer) elements(changed map[string]bool, after map[string]string, step traced) {
	touched, alive := map[string]bool{}, map[string]bool{}
	for key := range changed {
		touched[elementOf(key)] = true
	}
	delete(touched, "")
	if len(touched) == 0 {
		return
	}
	for key := range after {
		alive[elementOf(key)] = true
	}
	for element := range touched {
		switch _, known := t.trails[element]; {
		case !alive[element]:
			delete(t.trails, element)
		case !known:
			t.add(element, step)
		}
	}
}

// follow notes the event with everything that is computed from what it changed. Rules about the whole
// document are followed from its first event on, whether their value is shown already or not.
func (t *tracer) follow(changed map[string]bool, after map[string]string, step traced) {
	for rule, sources := range t.rules {
		inner := slices.ContainsFunc(sources, func(s string) bool { return strings.Contains(s, "[=]") })
		if !inner {
			if anySource(sources, changed, "") {
				t.add(ruleTrail+rule, step)
			}
			continue
		}
		for key := range after {
			if generic(key) == rule && anySource(sources, changed, elementOf(key)) {
				t.add(key, step)
			}
		}
	}
}

const ruleTrail = "rule "

// anySource says whether one of the changed keys is, or is in, one of the sources.
func anySource(sources []string, changed map[string]bool, element string) bool {
	for key := range changed {
		any := generic(key)
		for _, source := range sources {
			own := strings.Replace(source, "[=]", "[*]", 1)
			if within(any, own) && (own == source || elementOf(key) == element) {
				return true
			}
		}
	}
	return false
}

func within(key, outer string) bool {
	rest, ok := strings.CutPrefix(key, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (t *tracer) add(key string, step traced) {
	have := t.trails[key]
	if have == nil {
		have = &trail{}
		t.trails[key] = have
	}
	if last := len(have.steps) - 1; last >= 0 && have.steps[last].number == step.number {
		return
	}
	if have.steps = append(have.steps, step); len(have.steps) > maxCauses {
		have.steps = slices.Delete(have.steps, 0, 1)
		have.omitted++
	}
}

// forgetShown leaves only what values are computed from.
func (t *tracer) forgetShown() {
	shown := func(key string) bool { return !strings.HasPrefix(key, "~.") && !strings.HasPrefix(key, ruleTrail) }
	maps.DeleteFunc(t.before, func(key, _ string) bool { return shown(key) })
	maps.DeleteFunc(t.trails, func(key string, _ *trail) bool { return shown(key) })
}

// of gives the events behind a key, oldest first, and how many older ones are left out.
func (t *tracer) of(key string) (causes []Cause, omitted int) {
	var all []traced
	for _, name := range append([]string{key, elementOf(key)}, t.rulesOf(key)...) {
		if have := t.trails[name]; have != nil && name != "" {
			all, omitted = append(all, have.steps...), max(omitted, have.omitted)
		}
	}
	slices.SortFunc(all, func(a, b traced) int { return a.number - b.number })
	all = slices.CompactFunc(all, func(a, b traced) bool { return a.number == b.number })
	if over := len(all) - maxCauses; over > 0 {
		all, omitted = all[over:], omitted+over
	}
	causes = make([]Cause, len(all))
	for i, step := range all {
		causes[i] = step.cause
	}
	return causes, omitted
}

// rulesOf names the trails of the rules that a key falls under.
func (t *tracer) rulesOf(key string) (names []string) {
	any := generic(key)
	for rule := range t.rules {
		if within(any, rule) {
			names = append(names, ruleTrail+rule)
		}
	}
	return names
}

// elementOf is the part of a key that names an element of a list; empty if it is in none.
func elementOf(key string) string { return key[:strings.LastIndexByte(key, ']')+1] }

// generic is a key with its elements left open.
func generic(key string) string {
	begin := strings.IndexByte(key, '[')
	end := strings.LastIndexByte(key, ']')
	if begin < 0 || end < begin {
		return key
	}
	return key[:begin] + "[*]" + key[end+1:]
}

// leavesOf gives the plain values that a view shows, and with keys only those of its basis.
func leavesOf(v view) ([]leaf, error) {
	var leaves []leaf
	err := flattened(v.shown, func(path, key, value string) { leaves = append(leaves, leaf{path, key, value}) })
	if err == nil && v.basis != nil {
		err = flattened(v.basis, func(_, key, value string) { leaves = append(leaves, leaf{"", "~." + key, value}) })
	}
	return leaves, err
}

func flattened(whole any, add func(path, key, value string)) error {
	body, err := json.Marshal(whole)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	if object, ok := decoded.(map[string]any); ok && len(object) == 0 {
		return nil
	}
	flatten("", "", decoded, func(path, key string, value any) { add(path, key, fmt.Sprintf("%T %v", value, value)) })
	return nil
}

// flatten calls add for the plain values in a JSON value, and for its empty arrays and objects.
func flatten(path, key string, value any, add func(path, key string, value any)) {
	join := func(outer, inner string) string {
		if outer == "" {
			return inner
		}
		return outer + "." + inner
	}
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			flatten(join(path, name), join(key, name), inner, add)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for i, inner := range v {
			flatten(join(path, strconv.Itoa(i)), key+"["+nameOf(key, i, inner)+"]", inner, add)
		}
		if len(v) > 0 {
			return
		}
	}
	add(path, key, value)
}

// names are the members that tell the elements of a list apart, by the list's own name.
var names = map[string][]string{"items": {"sku"}, "steps": {"name", "sku"}, "timeline": {"stream", "revision"}}

// nameOf is what an element of a list is called: by its place where nothing else names it.
func nameOf(list string, place int, element any) string {
	members := names[list[strings.LastIndexByte(list, '.')+1:]]
	object, ok := element.(map[string]any)
	if !ok || len(members) == 0 {
		return strconv.Itoa(place)
	}
	parts := make([]string, len(members))
	for i, member := range members {
		if value := object[member]; value != nil {
			parts[i] = fmt.Sprint(value)
		}
	}
	if parts[0] == "" {
		return strconv.Itoa(place)
	}
	return strings.Join(parts, " ")
}
