package readmodels

import (
	"context"
	"fmt"
	"time"
)

// judge says how the model is, and when something is wrong what it looks like and what mends it. A
// stall is seen by the lack of progress although there is work, whatever the connections look like.
func (o *Operations) judge(ctx context.Context, m *Model, record generations, lag lagNow, away bool, shown *ReadModel) {
	if shown.Blocked > 0 {
		shown.Cause = fmt.Sprintf("%d streams are blocked: an event of each can't be applied", shown.Blocked)
		if shown.Blocked == 1 {
			shown.Cause = "1 stream is blocked: an event of it can't be applied"
		}
		shown.Command = "tidemark readmodels blocked " + m.Name
	}
	stuck := o.engine.options.StallAfter
	idle := lag.Events > 0 && time.Since(lag.Progress) > stuck
	switch {
	case record.Paused:
		shown.State, shown.Cause, shown.Command = StatePaused, "an operator paused it", "tidemark readmodels resume "+m.Name
	case shown.Job != nil && shown.Job.Kind == "rebuild":
		shown.State = StateRebuilding
	case lag.Known && lag.Silent > max(stuck, 3*probeEvery):
		shown.State, shown.Cause = StateStalled, fmt.Sprintf("the event store has not answered for %s", lag.Silent.Round(time.Second))
		shown.Command = "start the event store that TIDEMARK_EVENTSTORE names"
	case idle && !record.ours(m):
		shown.State, shown.Cause = StateStalled, "its documents were made by the fold of another release, which runs nowhere"
		shown.Command = "tidemark readmodels rebuild " + m.Name + " --switch"
	case away:
		shown.Cause, shown.Command = "the read store does not answer; this is what is remembered", "start the document store that TIDEMARK_DOCUMENTS names"
		if idle {
			shown.State = StateStalled
		}
	case idle:
		shown.State = StateStalled
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		o.judgeGroup(short, m, lag, shown)
	}
}

// GroupState is how the consumer group of a read model stands.
type GroupState struct {
	Name      string // of the group
	Missing   bool   // there is no such group
	Consumers int
	InFlight  int64
	Parked    int64
}

// judgeGroup looks for the cause of a stall where deliveries come from.
func (o *Operations) judgeGroup(ctx context.Context, m *Model, lag lagNow, shown *ReadModel) {
	wait := fmt.Sprintf("%d events wait and nothing was applied for %s", lag.Events, time.Since(lag.Progress).Round(time.Second))
	if o.engine.options.Group == nil {
		shown.Cause, shown.Command = wait+": no worker takes them, or its consumer group is stuck", "tidemark worker"
		return
	}
	group, err := o.engine.options.Group(ctx, m.Name)
	switch {
	case err != nil:
		shown.Cause, shown.Command = wait+": the event store does not say how its consumer group is", "start the event store that TIDEMARK_EVENTSTORE names"
	case group.Missing:
		shown.Cause, shown.Command = fmt.Sprintf("%s: its consumer group %s does not exist, and a worker would make it", wait, group.Name), "tidemark worker"
	case group.Consumers == 0:
		shown.Cause, shown.Command = fmt.Sprintf("%s: nobody consumes its group %s", wait, group.Name), "tidemark worker"
	default:
		shown.Cause = fmt.Sprintf("%s: its group %s has %d consumers, %d events in flight and %d parked, and is stuck", wait, group.Name, group.Consumers, group.InFlight, group.Parked)
		shown.Command = "tidemark subscriptions reset " + group.Name + " --to start --yes"
	}
}
