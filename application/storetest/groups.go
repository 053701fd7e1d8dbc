package storetest

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
)

// passing are errors after which a delivery comes again, for good those after which it is parked.
var (
	passing = []error{
		&domain.Error{Kind: domain.KindUnavailable}, &domain.Error{Kind: domain.KindUnknown},
		&domain.Error{Kind: domain.KindConflict}, &domain.Error{Kind: domain.KindStale},
	}
	forGood = []error{
		errors.New("stranger \xff"), &domain.Error{Kind: domain.KindUndecodable, Code: "unknown_event_type"}, domain.Refuse("no", "No."),
	}
)

func outcomes(w *world) {
	w.write(w.stream(), nothing, events(len(passing)+len(forGood)+1, 0))
	c := w.consume(w.group(), func(delivery domain.Delivery, before int) error {
		switch i, _ := strconv.Atoi(operation(delivery.Recorded)); {
		case i < len(passing) && before < 2:
			return passing[i]
		case i >= len(passing) && i < len(passing)+len(forGood):
			return forGood[i-len(passing)]
		}
		return nil
	})
	w.eventually("the last one came, and the transient ones three times", func() bool {
		times := c.times()
		if times["7"] == 0 {
			return false
		}
		for i := range passing {
			if times[fmt.Sprint(i)] < 3 {
				return false
			}
		}
		return true
	})
	w.eventually("the others are parked", func() bool {
		info, err := w.Groups.Info(w.ctx, w.group().Name)
		return err == nil && info.Parked == int64(len(forGood))
	})
	retried := false
	c.mu.Lock()
	for _, delivery := range c.given {
		retried = retried || delivery.Retry > 0
	}
	c.mu.Unlock()
	if times := c.times(); times["7"] != 1 || times["4"] != 1 || !retried {
		w.Errorf("deliveries by event: %v, told as retries: %v", times, retried)
	}
}

func handlerPanics(w *world) {
	w.write(w.stream(), nothing, events(10, 0))
	c := w.consume(w.group(), func(delivery domain.Delivery, before int) error {
		if operation(delivery.Recorded) == "4" && before < 3 {
			panic("no fours")
		}
		return nil
	})
	w.eventually("everything was handled", func() bool { return len(c.times()) == 10 && c.times()["4"] >= 4 })
	info, err := w.Groups.Info(w.ctx, w.group().Name)
	if err != nil || info.Parked != 0 {
		w.Errorf("parked %d, %v", info.Parked, err)
	}
}

func parkedReplay(w *world) {
	stream, group := w.stream(), w.group()
	w.write(stream, nothing, events(5, 0))
	healed := make(chan struct{})
	c := w.consume(group, func(domain.Delivery, int) error {
		select {
		case <-healed:
			return nil
		default:
			return domain.Refuse("broken", "It is broken.")
		}
	})
	parked := func(n int64) func() bool {
		return func() bool {
			info, err := w.Groups.Info(w.ctx, group.Name)
			return err == nil && info.Parked == n
		}
	}
	w.eventually("all five are parked", parked(5))
	list, err := w.Groups.Parked(w.ctx, group.Name, 3)
	if err != nil || len(list) != 3 {
		w.Fatalf("parked: %d, %v", len(list), err)
	}
	recorded := w.read(stream, 0)
	for _, p := range list {
		r := recorded[p.Revision]
		if p.Stream != stream || p.ID != r.ID || p.Type != r.Type || p.Reason == "" || p.At.IsZero() {
			w.Errorf("parked %+v is %+v", p, r)
		}
	}
	close(healed)
	if err := w.Groups.ReplayParked(w.ctx, group.Name, 2); err != nil {
		w.Fatal(err)
	}
	w.eventually("three are left", parked(3))
	if err := w.Groups.ReplayParked(w.ctx, group.Name, 0); err != nil {
		w.Fatal(err)
	}
	w.eventually("none is left", parked(0))
	w.eventually("each came again", func() bool {
		for _, n := range c.times() {
			if n < 2 {
				return false
			}
		}
		return true
	})
	w.eventually("the list is empty", func() bool { // it may follow the count
		list, err := w.Groups.Parked(w.ctx, group.Name, 10)
		return err == nil && len(list) == 0
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, delivery := range c.given {
		if delivery.Stream != stream || delivery.Position != recorded[delivery.Revision].Position {
			w.Errorf("delivery %+v, recorded %+v", delivery.Recorded, recorded[delivery.Revision])
		}
	}
}

func administered(w *world) {
	group := w.group()
	_, err := w.Groups.Info(w.ctx, group.Name)
	w.kind(err, domain.KindNotFound)
	w.kind(w.Groups.Delete(w.ctx, group.Name), domain.KindNotFound)
	w.kind(w.Groups.Reset(w.ctx, group, domain.From{}), domain.KindNotFound)
	w.kind(w.Groups.ReplayParked(w.ctx, group.Name, 0), domain.KindNotFound)
	w.kind(w.Groups.ReplayParked(w.ctx, group.Name, 1), domain.KindNotFound)
	_, err = w.Groups.Parked(w.ctx, group.Name, 1)
	w.kind(err, domain.KindNotFound)

	written := w.write(w.stream(), nothing, events(4, 0))
	if err := w.Groups.Create(w.ctx, group, domain.From{End: true}); err != nil {
		w.Fatal(err)
	}
	w.kind(w.Groups.Create(w.ctx, group, domain.From{}), domain.KindRefused)
	info, err := w.Groups.Info(w.ctx, group.Name)
	if err != nil || info.Group != group.Name || info.Stream != "$all" || info.Status == "" || info.Consumers != 0 {
		w.Errorf("info %+v, %v", info, err)
	}
	all, err := w.Groups.List(w.ctx)
	listed := 0
	for _, each := range all {
		if each.Group == group.Name {
			listed++
		}
	}
	if err != nil || listed != 1 {
		w.Errorf("listed %d times, %v", listed, err)
	}
	if parked, err := w.Groups.Parked(w.ctx, group.Name, 1); err != nil || len(parked) != 0 {
		w.Errorf("parked %v, %v", parked, err)
	}
	if err := w.Groups.Reset(w.ctx, group, domain.From{Position: written.Position}); err != nil {
		w.Fatal(err)
	}
	w.kind(w.Groups.Reset(w.ctx, group, domain.From{Position: 1 << 50}), domain.KindInvalid)
	if info, err := w.Groups.Info(w.ctx, group.Name); err != nil || info.Group != group.Name {
		w.Errorf("a reset to nowhere left %+v, %v", info, err)
	}
	c := w.consume(group, nil)
	w.eventually("the event at the position came", func() bool { return len(c.times()) >= 1 })
	if diff := cmp.Diff(numbers(3, 1), c.seen()); diff != "" {
		w.Errorf("from a position:\n%s", diff)
	}
	w.end(c.stop, c.done)
	w.eventually("the group is deleted", func() bool { return w.Groups.Delete(w.ctx, group.Name) == nil })
	_, err = w.Groups.Info(w.ctx, group.Name)
	w.kind(err, domain.KindNotFound)
}

func resetConsumed(w *world) {
	group, stream := w.group(), w.stream()
	w.write(stream, nothing, events(10, 0))
	c := w.consume(group, nil)
	w.eventually("everything came", func() bool { return len(c.times()) == 10 })
	if err := w.Groups.Reset(w.ctx, group, domain.From{}); err != nil {
		w.Fatal(err)
	}
	w.eventually("everything came again", func() bool {
		for _, n := range c.times() {
			if n < 2 {
				return false
			}
		}
		return true
	})
}
