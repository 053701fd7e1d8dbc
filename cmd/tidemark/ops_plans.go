package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// group is how a consumer group stands, with the events that its read model has in the log; 0 where
// the group serves none.
func (c *apiClient) group(ctx context.Context, name string) (g groupRow, events int64, err error) {
	if _, err := c.call(ctx, "GET", groupPath(name), nil, &g); err != nil {
		return g, 0, err
	}
	var m modelRow
	if _, err := c.call(ctx, "GET", modelPath("")([]string{name}), nil, &m); err == nil {
		events = m.Events
	}
	return g, events, nil
}

// lastRebuild is the newest rebuild of a read model that came to its end.
func (c *apiClient) lastRebuild(ctx context.Context, model string) (rebuilt rebuildResult, ok bool) {
	var list struct {
		Items []struct {
			Kind, Target, State string
			Result              rebuildResult
		} `json:"items"`
	}
	if _, err := c.call(ctx, "GET", "/v1/ops/jobs?limit=200", nil, &list); err != nil {
		return rebuilt, false
	}
	for _, j := range list.Items {
		if j.Kind == "rebuild" && j.State == "done" && j.Target == model {
			return j.Result, true
		}
	}
	return rebuilt, false
}

// rebuildResult is what a rebuild found.
type rebuildResult struct {
	Generation int64 `json:"generation"`
	Events     int64 `json:"events"`
	Millis     int64 `json:"millis"`
	Checked    int64 `json:"checked"`
	Differing  int64 `json:"differing"`
}

// takes estimates how long a number of events takes, by how long the last rebuild took for its own.
func (r rebuildResult) takes(events int64) *float64 {
	if r.Events <= 0 || r.Millis <= 0 {
		return nil
	}
	estimate := float64(r.Millis) / 1000 * float64(events) / float64(r.Events)
	return &estimate
}

// planReset says what would come again, and what would not come.
func (c *apiClient) planReset(ctx context.Context, name, to string) (plan, error) {
	g, events, err := c.group(ctx, name)
	if err != nil {
		return plan{}, err
	}
	if _, err := c.call(ctx, "POST", groupPath(name)+"/reset?dryRun=true", map[string]any{"to": placeOf(to)}, nil); err != nil {
		return plan{}, err
	}
	would := plan{Action: "reset to " + to + ":", Target: g.Group, Touches: map[string]int64{"consumers": g.Consumers, "in flight": g.InFlight, "parked": g.Parked}}
	from := orElse(g.Position, "its start")
	switch {
	case to == "end":
		would.Notes = append(would.Notes, "It is at "+from+"; what it has not taken by now is not delivered. Read models find it by their sweep.")
	case events > 0:
		would.Touches["events delivered again, at most"] = events
		if rebuilt, ok := c.lastRebuild(ctx, name); ok {
			would.Seconds = rebuilt.takes(events)
		}
		would.Notes = append(would.Notes, "It is at "+from+". Documents drop what they have, so that nothing shows twice.")
	default:
		would.Notes = append(would.Notes, "It is at "+from+"; everything that its filter lets pass from "+to+" on is delivered again.")
	}
	if g.Parked > 0 {
		would.Notes = append(would.Notes, "What is parked is lost to the group; replay it first.")
	}
	return would.sealed(to, g.Parked), nil
}

func (c *apiClient) planDelete(ctx context.Context, name string) (plan, error) {
	g, events, err := c.group(ctx, name)
	if err != nil {
		return plan{}, err
	}
	would := plan{Action: "delete with checkpoint and parked events:", Target: g.Group,
		Touches: map[string]int64{"consumers": g.Consumers, "in flight": g.InFlight, "parked": g.Parked}}
	if events > 0 {
		would.Touches["events delivered again"] = events
		would.Notes = append(would.Notes, "It serves a read model: the next worker makes it anew, from the start of the log.")
	}
	return would.sealed(g.Parked), nil
}

// planGeneration says what would serve instead of what does.
func (c *apiClient) planGeneration(ctx context.Context, action, name string) (plan, error) {
	var m modelRow
	if _, err := c.call(ctx, "GET", modelPath("")([]string{name}), nil, &m); err != nil {
		return plan{}, err
	}
	would := plan{Action: action, Target: m.Name, Touches: map[string]int64{"streams blocked now": m.Blocked, "events": m.Events}}
	says := func(format string, args ...any) { would.Notes = append(would.Notes, fmt.Sprintf(format, args...)) }
	rebuilt, ok := c.lastRebuild(ctx, m.Name)
	about := ok && (rebuilt.Generation == m.Building || rebuilt.Generation == m.Previous || rebuilt.Generation == m.Generation)
	if about {
		would.Touches["documents and rows compared"], would.Touches["of them different"] = rebuilt.Checked, rebuilt.Differing
	}
	switch action {
	case "switch":
		says("Generation %d serves now; %s would, in one step. The old one stays for a rollback.", m.Generation, generationOf(m.Building))
	case "rollback":
		says("Generation %d serves now; %s would, in one step.", m.Generation, generationOf(m.Previous))
		if about {
			would.Seconds = rebuilt.takes(m.LagEvents)
		}
	case "drop":
		says("Generation %d serves and stays. Previous: %s; built or being built: %s. There is no way back to what is dropped.",
			m.Generation, generationOf(m.Previous), generationOf(m.Building))
	}
	return would.sealed(m.Generation, m.Previous, m.Building), nil
}

func generationOf(n int64) string {
	if n == 0 {
		return "none"
	}
	return "generation " + strconv.FormatInt(n, 10)
}

// planSkip lists the events that a skip would leave out for good.
func (c *apiClient) planSkip(ctx context.Context, args []string) (plan, error) {
	var blocked []blockedRow
	if err := c.items(ctx, modelPath("/blocked")(args), &blocked); err != nil {
		return plan{}, err
	}
	would := plan{Action: "skip for good, in", Target: args[0], Touches: map[string]int64{}}
	attempts := int64(0)
	for _, b := range blocked {
		if len(args) == 1 || slices.Contains(args[1:], b.Stream) {
			would.Streams = append(would.Streams, fmt.Sprintf("%s revision %d %s: %s", b.Stream, b.Revision, b.Type, b.Reason))
			attempts += b.Attempts
		}
	}
	would.Touches["streams"], would.Touches["events"], would.Touches["attempts so far"] = int64(len(would.Streams)), int64(len(would.Streams)), attempts
	return would.sealed(), nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// groupPath is where a group is in the API.
func groupPath(name string) string { return "/v1/ops/subscriptions/" + escaped(name) }

// placeOf is a place in the log as the API takes it.
func placeOf(text string) any {
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		return n
	}
	return text
}

// checkPlace refuses what is no place in the log.
func checkPlace(flag, text string) error {
	if _, number := placeOf(text).(uint64); number || text == "start" || text == "end" {
		return nil
	}
	return usageError{fmt.Errorf("--%s %q is neither start, end nor a position", flag, text)}
}
