package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// plan is what a command that destroys, or changes much, would touch. It is shown before anything is done.
type plan struct {
	ID      string           `json:"plan"`
	Action  string           `json:"action"`
	Target  string           `json:"target"`
	Touches map[string]int64 `json:"touches"` // counts by what is counted
	Streams []string         `json:"streams,omitempty"`
	Seconds *float64         `json:"estimateSeconds,omitempty"`
	Notes   []string         `json:"notes"`
	Done    bool             `json:"done"`
}

// sealed gives the plan an id over what it is about: what is to be done to what, and the state that
// decides about it. What changes by the second, such as events in flight, is left out.
func (p plan) sealed(about ...any) plan {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v", p.Action, p.Target, p.Streams, about))
	p.ID = hex.EncodeToString(sum[:4])
	if p.Notes == nil {
		p.Notes = []string{}
	}
	return p
}

// confirmation is how a caller agrees to a plan.
type confirmation struct {
	yes  bool
	plan string
}

func (c *confirmation) flags(command *cobra.Command) {
	command.Flags().BoolVar(&c.yes, "yes", false, "do it")
	command.Flags().StringVar(&c.plan, "plan", "", "do it if it is still the plan with this id")
}

// agreed says whether the caller wants what the plan says; if not, it shows the plan.
func (p *program) agreed(c confirmation, plan plan) (bool, error) {
	if c.yes || c.plan == plan.ID {
		return true, nil
	}
	if err := p.show(plan); err != nil {
		return false, err
	}
	if c.plan != "" {
		return false, fmt.Errorf("things have changed since plan %s, and this is the plan now; nothing was done", c.plan)
	}
	return false, nil
}

// show prints a plan.
func (p *program) show(plan plan) error {
	if p.json {
		return printJSON(p.out, plan)
	}
	fmt.Fprintf(p.out, "%s %s\n", plan.Action, plan.Target)
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	for _, what := range slices.Sorted(maps.Keys(plan.Touches)) {
		fmt.Fprintf(w, "  %s\t%d\n", what, plan.Touches[what])
	}
	if plan.Seconds != nil {
		fmt.Fprintf(w, "  takes\tabout %s\n", seconds(*plan.Seconds))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	const shown = 20
	for _, stream := range plan.Streams[:min(shown, len(plan.Streams))] {
		fmt.Fprintln(p.out, "  "+spelt(stream, ""))
	}
	if more := len(plan.Streams) - shown; more > 0 {
		fmt.Fprintf(p.out, "  and %d more\n", more)
	}
	for _, note := range plan.Notes {
		fmt.Fprintln(p.out, "  "+note)
	}
	fmt.Fprintf(p.out, "Nothing was done; repeat with --yes, or with --plan %s to do exactly this.\n", plan.ID)
	return nil
}
