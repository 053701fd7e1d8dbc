package storetest

import (
	"slices"
	"strconv"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
)

// info is how a group stands; it must be there.
func (w *world) info() domain.GroupInfo {
	w.Helper()
	info, err := w.Groups.Info(w.ctx, w.group().Name)
	if err != nil {
		w.Fatal(err)
	}
	return info
}

func settingsChanged(w *world) {
	w.kind(w.Groups.Update(w.ctx, w.group().Name, domain.GroupChange{}), domain.KindNotFound)
	group := w.group()
	group.Settings = domain.GroupChange{ConsumerStrategy: new("RoundRobin"), MaxRetryCount: new(int64(7)), ExtraStatistics: new(true)}
	if err := w.Groups.Create(w.ctx, group, domain.From{}); err != nil {
		w.Fatal(err)
	}
	made := w.info().Settings
	if made.ConsumerStrategy != "RoundRobin" || made.MaxRetryCount != 7 || !made.ExtraStatistics || made.HistoryBufferSize <= made.ReadBatchSize {
		w.Errorf("made with %+v", made)
	}
	everything := domain.GroupChange{
		ConsumerStrategy: new("DispatchToSingle"), MessageTimeoutMs: new(int64(12_345)), MaxRetryCount: new(int64(8)),
		CheckpointAfterMs: new(int64(2_500)), MinCheckpointCount: new(int64(3)), MaxCheckpointCount: new(int64(300)), MaxSubscriberCount: new(int64(4)),
		LiveBufferSize: new(int64(600)), ReadBatchSize: new(int64(30)), HistoryBufferSize: new(int64(700)), ResolveLinkTos: new(true), ExtraStatistics: new(false),
	}
	for _, change := range []domain.GroupChange{{MessageTimeoutMs: new(int64(40_000))}, {}, everything, {ConsumerStrategy: new("Pinned")}} {
		want := change.Apply(w.info().Settings)
		if err := w.Groups.Update(w.ctx, group.Name, change); err != nil {
			w.Fatal(err)
		}
		if diff := cmp.Diff(want, w.info().Settings); diff != "" {
			w.Errorf("after a change (-want +got):\n%s", diff)
		}
	}
	before := w.info().Settings
	if err := w.Groups.Reset(w.ctx, w.group(), domain.From{End: true}); err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(before, w.info().Settings); diff != "" {
		w.Errorf("a reset moves a group and leaves its settings (-before +after):\n%s", diff)
	}
	all, err := w.Groups.List(w.ctx)
	at := slices.IndexFunc(all, func(g domain.GroupInfo) bool { return g.Group == group.Name })
	if err != nil || at < 0 || all[at].Settings != before {
		w.Errorf("the list says otherwise: %+v, %v", all, err)
	}
}

func settingsRefused(w *world) {
	if err := w.Groups.Create(w.ctx, w.group(), domain.From{}); err != nil {
		w.Fatal(err)
	}
	before := w.info().Settings
	for name, change := range map[string]domain.GroupChange{
		"a strategy that is none":             {ConsumerStrategy: new("Roulette")},
		"a batch larger than its buffer":      {ReadBatchSize: new(before.HistoryBufferSize)},
		"checkpoints at more than at most":    {MinCheckpointCount: new(before.MaxCheckpointCount + 1)},
		"more than the protocol has room for": {MaxRetryCount: new(int64(1) << 31)},
		"no time for an answer":               {MessageTimeoutMs: new(int64(0))},
		"less than nothing":                   {MaxSubscriberCount: new(int64(-1))},
	} {
		err := w.Groups.Update(w.ctx, w.group().Name, change)
		if domain.KindOf(err) != domain.KindInvalid {
			w.Errorf("%s: %v", name, err)
		}
		other := domain.Group{Name: w.group().Name + "-other", Prefixes: w.group().Prefixes, Settings: change}
		w.kind(w.Groups.Create(w.ctx, other, domain.From{}), domain.KindInvalid)
	}
	if diff := cmp.Diff(before, w.info().Settings); diff != "" {
		w.Errorf("a refusal changed the group:\n%s", diff)
	}
}

func changedAtTheEnd(w *world) {
	stream := w.stream()
	written := w.write(stream, nothing, events(50, 0))
	if err := w.Groups.Create(w.ctx, w.group(), domain.From{End: true}); err != nil {
		w.Fatal(err)
	}
	if err := w.Groups.Update(w.ctx, w.group().Name, domain.GroupChange{MaxRetryCount: new(int64(9))}); err != nil {
		w.Fatal(err)
	}
	c := w.consume(w.group(), nil)
	w.eventually("it is connected", func() bool { return w.info().Consumers == 1 })
	w.write(stream, tip(written), events(5, 50))
	w.eventually("what came was delivered", func() bool { return c.times()["54"] > 0 })
	for _, operation := range c.seen() {
		if len(operation) == 1 || operation < "49" { // the newest one there was may come along
			w.Errorf("event %s was written before the group began", operation)
		}
	}
}

func changedConsumed(w *world) {
	stream := w.stream()
	written := w.write(stream, nothing, events(200, 0))
	reached, changed := make(chan struct{}), make(chan struct{})
	c := w.consume(w.group(), func(d domain.Delivery, _ int) error {
		if operation(d.Recorded) == "100" {
			select {
			case <-reached:
			default:
				close(reached)
			}
			<-changed // the change comes in the middle of a batch
		}
		return nil
	})
	select {
	case <-reached:
	case <-w.ctx.Done():
		w.Fatal("the consumer never got half-way")
	}
	for i := range int64(3) {
		if err := w.Groups.Update(w.ctx, w.group().Name, domain.GroupChange{MessageTimeoutMs: new(20_000 + i)}); err != nil {
			w.Fatal(err)
		}
	}
	close(changed)
	w.write(stream, tip(written), events(20, 200))
	w.eventually("all was delivered", func() bool { return len(c.times()) >= 220 })
	w.eventually("the consumer is back", func() bool { return w.info().Consumers == 1 })
	if diff := cmp.Diff(numbers(0, 220), c.seen()); diff != "" {
		w.Error(diff)
	}
	if after := w.info(); after.Parked != 0 || after.Settings.MessageTimeoutMs != 20_002 {
		w.Errorf("after the changes %+v", after)
	}
	last := w.read(stream, 219)[0].Position
	w.eventually("its checkpoint moves on", func() bool {
		position := w.info().Position
		return position != "" && number(position) >= last
	})
}

// number reads a position as GroupInfo has it; 0 for anything else.
func number(position string) uint64 {
	n, err := strconv.ParseUint(position, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
