package application

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// course is one way through fulfilment: what is there at first, and what people do once it has come to rest.
type course struct {
	name  string
	money int64
	stock map[string]int64
	then  func(s *depot, id string)
	ends  []string // without a cancellation that strikes in between
}

var plenty = map[string]int64{"A": startStock, "B": startStock}

var courses = []course{
	{"prepared", startMoney, plenty, nil, []string{"prepared/prepared"}},
	{"shipped", startMoney, plenty, ship, []string{"shipped/completed"}},
	{"cancelled when prepared", startMoney, plenty, cancel, []string{"cancelled/compensated"}},
	{"out of stock", startMoney, map[string]int64{"A": 10}, nil, []string{"cancelled/compensated"}},
	{"declined", 299, plenty, nil, []string{"cancelled/compensated"}},
}

func ship(s *depot, id string) {
	_, err := s.service.ShipOrder(s.t.Context(), Command{}, id, "UPS", "T")
	if err != nil && domain.CodeOf(err) != "invalid_transition" {
		s.t.Error(err)
	}
}

func cancel(s *depot, id string) {
	_, err := s.service.CancelOrder(s.t.Context(), Command{}, id, "changed my mind")
	if err != nil && domain.CodeOf(err) != "invalid_transition" {
		s.t.Error(err)
	}
}

// strike is what befalls a worker at one of its appends.
type strike struct {
	name string
	ends []string // beside the course's own
	at   func(s *depot, w *interposed, id string, append func() (domain.Appended, error)) (domain.Appended, error)
}

var strikes = []strike{
	{"crash before", nil, func(_ *depot, w *interposed, _ string, _ func() (domain.Appended, error)) (domain.Appended, error) {
		w.die()
		return domain.Appended{}, unavailable()
	}},
	{"crash after", nil, func(_ *depot, w *interposed, _ string, do func() (domain.Appended, error)) (domain.Appended, error) {
		_, err := do()
		w.die()
		return domain.Appended{}, errors.Join(unavailable(), err)
	}},
	{"not reached", nil, func(*depot, *interposed, string, func() (domain.Appended, error)) (domain.Appended, error) {
		return domain.Appended{}, unavailable()
	}},
	{"time-out, done", nil, func(_ *depot, _ *interposed, _ string, do func() (domain.Appended, error)) (domain.Appended, error) {
		_, err := do()
		return domain.Appended{}, errors.Join(unknown(), err)
	}},
	{"time-out, not done", nil, func(*depot, *interposed, string, func() (domain.Appended, error)) (domain.Appended, error) {
		return domain.Appended{}, unknown()
	}},
	{"duplicate reply", nil, func(_ *depot, _ *interposed, _ string, do func() (domain.Appended, error)) (domain.Appended, error) {
		if appended, err := do(); err != nil {
			return appended, err
		}
		return do()
	}},
	{"late reply", nil, func(s *depot, _ *interposed, id string, do func() (domain.Appended, error)) (domain.Appended, error) {
		meanwhile(s, id)
		return do()
	}},
	{"reply after another worker", nil, func(s *depot, _ *interposed, id string, do func() (domain.Appended, error)) (domain.Appended, error) {
		appended, err := do()
		meanwhile(s, id)
		return appended, err
	}},
	{"cancel now", undone, func(s *depot, _ *interposed, id string, do func() (domain.Appended, error)) (domain.Appended, error) {
		cancel(s, id)
		return do()
	}},
	{"cancel now, late reply", undone, func(s *depot, _ *interposed, id string, do func() (domain.Appended, error)) (domain.Appended, error) {
		cancel(s, id)
		meanwhile(s, id)
		return do()
	}},
	{"cancel just after", undone, func(s *depot, _ *interposed, id string, do func() (domain.Appended, error)) (domain.Appended, error) {
		appended, err := do()
		cancel(s, id)
		return appended, err
	}},
	{"cancel now, crash after", undone, func(s *depot, w *interposed, id string, do func() (domain.Appended, error)) (domain.Appended, error) {
		cancel(s, id)
		_, err := do()
		w.die()
		return domain.Appended{}, errors.Join(unavailable(), err)
	}},
	{"expired meanwhile, late reply, crash", undone, func(s *depot, w *interposed, id string, do func() (domain.Appended, error)) (domain.Appended, error) {
		s.clock.advance(time.Hour)
		meanwhile(s, id)
		_, err := do()
		w.die()
		return domain.Appended{}, errors.Join(unavailable(), err)
	}},
	{"expired meanwhile", undone, func(s *depot, _ *interposed, _ string, do func() (domain.Appended, error)) (domain.Appended, error) {
		s.clock.advance(time.Hour)
		return do()
	}},
}

var undone = []string{"cancelled/compensated"}

// meanwhile lets another worker take the order as far as it goes.
func meanwhile(s *depot, id string) {
	if err := s.worker(nil).Advance(s.t.Context(), id); err != nil {
		s.t.Errorf("meanwhile: %v", err)
	}
}

// At every append of every course, everything that can befall it befalls it once. Each run must end as if
// nothing had happened, or undone, with goods and money in their places.
func TestEveryStepSurvivesEverything(t *testing.T) {
	for _, c := range courses {
		for _, strike := range strikes {
			t.Run(c.name+"/"+strike.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					for number := 0; strikeAt(t, c, strike, number, false); number++ {
					}
					for number := 0; strikeAt(t, c, strike, number, true); number++ {
					}
				})
			})
		}
	}
}

// strikeAt runs a course with a strike at one append; false means that there are fewer. Where hints are
// lost nobody hears of reservations and payments that came too late, and the last look has to find them.
func strikeAt(t *testing.T, c course, strike strike, number int, lost bool) bool {
	t.Helper()
	s := newDepot(t, uint64(number))
	s.lost = func(r domain.Recorded) bool { return lost && (r.Type == "InventoryReserved" || r.Type == "Withdrawn") }
	for sku, quantity := range c.stock {
		s.receive(sku, quantity)
	}
	accountID := s.account(c.money)
	id := s.confirmed(accountID)
	struck := false
	var victim *interposed
	first := s.worker(func(store EventStore) EventStore {
		victim = &interposed{EventStore: store}
		victim.around = func(n int, _ string, do func() (domain.Appended, error)) (domain.Appended, error) {
			if n != number {
				return do()
			}
			struck = true
			return strike.at(s, victim, id, do)
		}
		return victim
	})
	second := s.worker(nil)
	s.deliver(first, first, second)
	if c.then != nil {
		c.then(s, id)
		s.deliver(first, first, second)
	}
	if lost {
		s.clock.advance(time.Minute)
		meanwhile(s, id)
	}
	s.settledWell(id, append(strike.ends, c.ends...)...)
	if t.Failed() {
		t.Fatalf("struck at append %d: %s", number, describe(s, id))
	}
	return struck
}

// A worker is held up while it prepares the order, the deadline passes, and while another worker undoes
// everything the first one gets through after all and the goods are shipped at once. Whoever comes first
// in the order's own stream is right: an order that left the house keeps its goods and its payment.
func TestAnOrderPreparedLateIsEitherShippedOrUndone(t *testing.T) {
	ends := map[string]int{}
	for number, more := 0, true; more; number++ {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { more = preparedLate(t, number, ends) })
		})
	}
	if len(ends) != 2 {
		t.Errorf("ended only as %v", ends)
	}
}

func preparedLate(t *testing.T, number int, ends map[string]int) bool {
	s := newDepot(t, uint64(number))
	s.receive("A", startStock)
	s.receive("B", startStock)
	id := s.confirmed(s.account(startMoney))
	struck, prepared := false, false
	first := s.worker(func(store EventStore) EventStore {
		return &interposed{EventStore: store, around: func(_ int, stream string, prepare func() (domain.Appended, error)) (domain.Appended, error) {
			if stream != "order-"+id || prepared {
				return prepare()
			}
			prepared = true
			s.clock.advance(time.Hour)
			var done domain.Appended
			var err error
			now := func() {
				done, err = prepare()
				ship(s, id)
			}
			other := s.worker(func(store EventStore) EventStore {
				return &interposed{EventStore: store, around: func(n int, _ string, do func() (domain.Appended, error)) (domain.Appended, error) {
					if n == number {
						struck = true
						now()
					}
					return do()
				}}
			})
			if err := other.Advance(t.Context(), id); err != nil {
				t.Error(err)
			}
			if !struck {
				now()
			}
			return done, err
		}}
	})
	s.deliver(first, s.worker(nil))
	s.settledWell(id, "shipped/completed", "cancelled/compensated")
	ends[string(s.order(id).Status)]++
	if t.Failed() {
		t.Fatal(describe(s, id))
	}
	return struck
}

// describe lists what happened, for people who look for the reason of a failure.
func describe(s *depot, id string) string {
	text := "\n"
	for _, stream := range []string{"order-" + id, "fulfilment-" + id, "inventory-A", "inventory-B"} {
		for _, r := range s.store.events(stream) {
			text += fmt.Sprintf("%s@%d %s %+v\n", stream, r.Revision, r.Type, r.Event)
		}
	}
	return text
}
