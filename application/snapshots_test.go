package application

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
	"pgregory.net/rapid"
)

// running makes a service whose snapshots are taken, in a synctest bubble.
func running(t *testing.T, store EventStore, options Options) *Service {
	s := NewService(store, options)
	go s.Run(t.Context())
	return s
}

func TestASnapshotIsTakenWhereAMultipleIsPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newScripted()
		options := quick()
		options.SnapshotEvery = 5
		s := running(t, store, options)
		orderID := uuid.NewString()
		steps := []struct {
			run  func() (Result[inventory.Stock], error)
			want int64 // revision of the newest snapshot
		}{
			{func() (Result[inventory.Stock], error) { return s.ReceiveStock(t.Context(), Command{}, "A", 50, "") }, -1},
			{func() (Result[inventory.Stock], error) { return s.ReceiveStock(t.Context(), Command{}, "A", 1, "") }, -1},
			{func() (Result[inventory.Stock], error) { return s.HoldStock(t.Context(), Command{}, "A", orderID, 1) }, -1},
			{func() (Result[inventory.Stock], error) { return s.ReceiveStock(t.Context(), Command{}, "A", 1, "") }, -1},
			// Two events at once: 4 becomes 6, over the 5.
			{func() (Result[inventory.Stock], error) { return s.HoldStock(t.Context(), Command{}, "A", orderID, 2) }, 5},
			{func() (Result[inventory.Stock], error) { return s.HoldStock(t.Context(), Command{}, "A", orderID, 3) }, 5},
			{func() (Result[inventory.Stock], error) { return s.ReceiveStock(t.Context(), Command{}, "A", 1, "") }, 5},
			{func() (Result[inventory.Stock], error) { return s.ReceiveStock(t.Context(), Command{}, "A", 1, "") }, 9},
		}
		for i, step := range steps {
			result, err := step.run()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			newest := int64(-1)
			if events := store.events("snapshot-inventory-A"); len(events) > 0 {
				newest = events[len(events)-1].Event.(domain.SnapshotTaken).Revision
			}
			if newest != step.want {
				t.Errorf("step %d at revision %d: the newest snapshot is of %d, want %d", i, result.Revision, newest, step.want)
			}
		}
		if store.kept["snapshot-inventory-A"] != snapshotsKept {
			t.Error("the snapshot stream is not bounded")
		}
	})
}

// lives are random histories of every aggregate.
var lives = []struct {
	name string
	fold func(t *rapid.T, events []domain.Event)
}{
	{"order", func(t *rapid.T, e []domain.Event) { splits(t, Orders, e) }},
	{"product", func(t *rapid.T, e []domain.Event) { splits(t, Products, e) }},
	{"inventory", func(t *rapid.T, e []domain.Event) { splits(t, Stocks, e) }},
	{"account", func(t *rapid.T, e []domain.Event) { splits(t, Accounts, e) }},
}

// Folding a snapshot and the rest gives what folding everything gives, wherever the snapshot was taken.
func TestSnapshotAndTailEqualTheWhole(t *testing.T) {
	for _, life := range lives {
		t.Run(life.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { life.fold(t, randomEvents(t, life.name)) })
		})
	}
}

func splits[S any](t *rapid.T, aggregate *Aggregate[S], events []domain.Event) {
	whole := make([]Loaded[S], len(events)+1)
	whole[0] = aggregate.empty("x")
	history := make([]domain.Recorded, len(events))
	for i, event := range events {
		history[i] = domain.Recorded{
			Event: event, Type: event.EventType(), Stream: whole[0].Stream, Revision: int64(i), Position: uint64(i * 10),
			Meta: domain.Meta{
				CommandID: uuid.NewString(), Hash: fmt.Sprint(i),
				At: time.UnixMicro(rapid.Int64Range(0, 1e15).Draw(t, "at")).UTC(),
			},
		}
		whole[i+1] = whole[i].with(aggregate, history[i])
	}
	all := plain(whole[len(events)])
	for split := 1; split <= len(events); split++ {
		snapshot, err := takeSnapshot(aggregate, whole[split])
		if err != nil {
			t.Fatal(err)
		}
		loaded, reason := restore(aggregate, whole[0], domain.Recorded{Event: throughJSON(t, snapshot)})
		if reason != "" {
			t.Fatalf("split at %d: %s", split, reason)
		}
		for _, r := range history[split:] {
			loaded = loaded.with(aggregate, r)
		}
		if diff := cmp.Diff(all, plain(loaded)); diff != "" {
			t.Fatalf("split at %d (-whole +split):\n%s", split, diff)
		}
	}
}

// A process that knows nothing loads a stream of any length, through the store, from its newest snapshot: it
// gets what all events give, and folds those behind the snapshot and no others.
func TestALoadFoldsExactlyWhatTheSnapshotLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 4
		store, options := newScripted(), quick()
		options.SnapshotEvery = every
		s, id := opened(t, store, options) // two events
		go s.Run(t.Context())
		for revision := int64(2); revision < 50; revision++ {
			if _, err := s.Deposit(t.Context(), Command{}, id, 1+revision, "EUR", ""); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			folded, start := 0, FromFirst
			fresh, plainly := options, options
			fresh.Hooks.Loaded = func(_ string, from Start, events int) { folded, start = events, from }
			plainly.SnapshotEvery = -1
			got, err := Load(t.Context(), NewExecutor(store, fresh), Accounts, id)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Load(t.Context(), NewExecutor(store, plainly), Accounts, id)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
				t.Fatalf("at revision %d (-all events +from the snapshot):\n%s", revision, diff)
			}
			if lacks := int((revision + 1) % every); revision >= every && (start != FromSnapshot || folded != lacks) {
				t.Errorf("at revision %d %d events were folded from %v, want %d from the snapshot", revision, folded, start, lacks)
			}
		}
	})
}

// throughJSON is the snapshot as a store gives it back.
func throughJSON(t *rapid.T, snapshot domain.SnapshotTaken) domain.SnapshotTaken {
	data, err := json.Marshal(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	var back domain.SnapshotTaken
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// plain is what of a load has to be the same.
func plain[S any](l Loaded[S]) any {
	return struct {
		State    S
		Revision int64
		Hash     string
		Commands string
	}{l.State, l.Revision, l.Meta.Hash, l.commands.pack()}
}

func TestALargeStateFitsIntoASnapshot(t *testing.T) {
	loaded := Accounts.empty("x")
	for i := range 10_000 {
		command := uuid.NewString()
		loaded.State.Payments = append(loaded.State.Payments, account.Payment{OrderID: command, Amount: 1})
		loaded.Revision, loaded.commands = int64(i), loaded.commands.with(command, int64(i))
	}
	snapshot, err := takeSnapshot(Accounts, loaded)
	if err != nil {
		t.Fatal(err)
	}
	if size := len(snapshot.State) + len(snapshot.Commands); size > 512<<10 {
		t.Errorf("%d bytes", size)
	}
	back, reason := restore(Accounts, Accounts.empty("x"), domain.Recorded{Event: snapshot})
	if reason != "" {
		t.Fatal(reason)
	}
	if diff := cmp.Diff(plain(loaded), plain(back)); diff != "" {
		t.Error(diff)
	}
}

func randomEvents(t *rapid.T, aggregate string) []domain.Event {
	amount := rapid.Int64Range(0, 1000)
	id := rapid.SampledFrom([]string{"", "o1", "o2", "o3"})
	sku := rapid.SampledFrom([]string{"A", "B", "C"})
	line := func() order.Line {
		l := order.Line{SKU: sku.Draw(t, "sku"), Quantity: amount.Draw(t, "n"), UnitPrice: amount.Draw(t, "price")}
		if rapid.Bool().Draw(t, "named") {
			price := amount.Draw(t, "catalogue")
			l.Name, l.CataloguePrice = "Näme", &price
		}
		return l
	}
	kinds := map[string][]func() domain.Event{
		"order": {
			func() domain.Event {
				return order.Created{
					CustomerID: "c", AccountID: "a", Currency: "EUR", Items: []order.Line{line(), line()},
					Address: rapid.SampledFrom([]any{nil, "x", map[string]any{"city": "Kiel"}}).Draw(t, "address"),
				}
			},
			func() domain.Event { return order.ItemAdded{Line: line()} },
			func() domain.Event {
				return order.ItemRemoved{SKU: sku.Draw(t, "sku"), Quantity: amount.Draw(t, "n")}
			},
			func() domain.Event { return order.Confirmed{} }, func() domain.Event { return order.Prepared{} },
			func() domain.Event { return order.Shipped{Carrier: "DHL", TrackingNumber: "1"} },
			func() domain.Event { return order.Cancelled{Reason: "expired"} },
		},
		"product": {
			func() domain.Event {
				return product.Listed{Name: "n", UnitPrice: amount.Draw(t, "price"), Currency: "EUR"}
			},
			func() domain.Event {
				return product.PriceChanged{UnitPrice: amount.Draw(t, "price"), Currency: "USD"}
			},
			func() domain.Event { return product.Withdrawn{} },
		},
		"inventory": {
			func() domain.Event { return inventory.Received{Quantity: amount.Draw(t, "n")} },
			func() domain.Event {
				return inventory.Reserved{OrderID: id.Draw(t, "order"), Quantity: amount.Draw(t, "n")}
			},
			func() domain.Event {
				return inventory.Released{OrderID: id.Draw(t, "order"), Quantity: amount.Draw(t, "n")}
			},
			func() domain.Event { return inventory.Damaged{Quantity: amount.Draw(t, "n")} },
			func() domain.Event {
				return inventory.Shipped{OrderID: id.Draw(t, "order"), Quantity: amount.Draw(t, "n")}
			},
		},
		"account": {
			func() domain.Event {
				return account.Opened{CustomerID: "c", Currency: "EUR", OverdraftLimit: amount.Draw(t, "limit")}
			},
			func() domain.Event { return account.Deposited{Amount: amount.Draw(t, "n"), Currency: "EUR"} },
			func() domain.Event {
				return account.Withdrawn{Amount: amount.Draw(t, "n"), Currency: "EUR", OrderID: id.Draw(t, "order")}
			},
			func() domain.Event {
				return account.Credited{Amount: amount.Draw(t, "n"), Currency: "EUR", OrderID: id.Draw(t, "order")}
			},
			func() domain.Event { return account.Closed{} },
		},
	}[aggregate]
	events := make([]domain.Event, rapid.IntRange(1, 30).Draw(t, "events"))
	for i := range events {
		events[i] = rapid.SampledFrom(kinds).Draw(t, "kind")()
	}
	return events
}

// A snapshot with anything odd about it is left aside and only speed is lost.
func TestADoubtfulSnapshotIsIgnored(t *testing.T) {
	type spoiler func(stream string, s *domain.SnapshotTaken)
	sealed := func(change func(*domain.SnapshotTaken)) spoiler {
		return func(stream string, s *domain.SnapshotTaken) {
			change(s)
			s.Checksum = checksum(stream, *s)
		}
	}
	for name, spoil := range map[string]spoiler{
		"a wrong checksum":        func(_ string, s *domain.SnapshotTaken) { s.State = strings.Replace(s.State, "1", "2", 1) },
		"another stream's":        func(_ string, s *domain.SnapshotTaken) { s.Checksum = checksum("account-other", *s) },
		"another fold":            sealed(func(s *domain.SnapshotTaken) { s.FoldVersion++ }),
		"beyond the stream":       sealed(func(s *domain.SnapshotTaken) { s.Revision += 1000 }),
		"another event there":     sealed(func(s *domain.SnapshotTaken) { s.Hash = "x" }),
		"of no event":             sealed(func(s *domain.SnapshotTaken) { s.Revision = -1 }),
		"a state that isn't one":  sealed(func(s *domain.SnapshotTaken) { s.State = "{" }),
		"a state of another kind": sealed(func(s *domain.SnapshotTaken) { s.State = `{"onHand":1}` }),
		"damaged commands":        sealed(func(s *domain.SnapshotTaken) { s.Commands = "!" }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newScripted()
				options := quick()
				options.SnapshotEvery = 10
				ignored := 0
				options.Hooks.SnapshotIgnored = func(string, string) { ignored++ }
				s, id := opened(t, store, options)
				go s.Run(t.Context())
				for range 20 {
					if _, err := s.Deposit(t.Context(), Command{}, id, 11, "EUR", ""); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				events := store.streams["snapshot-account-"+id]
				last := &events[len(events)-1]
				snapshot := last.Event.(domain.SnapshotTaken)
				spoil("account-"+id, &snapshot)
				last.Event = snapshot

				loaded, err := Load(t.Context(), NewExecutor(store, options), Accounts, id)
				if err != nil || loaded.State.Balance != 10_220 || loaded.Revision != 21 || ignored != 1 {
					t.Errorf("balance %d at revision %d, %v; %d ignored", loaded.State.Balance, loaded.Revision, err, ignored)
				}
			})
		})
	}
}

func TestSnapshotsNeverDelayOrFailACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newScripted()
		options := quick()
		options.SnapshotEvery = 1
		failed := 0
		options.Hooks.SnapshotTaken = func(_ string, err error) {
			if err != nil {
				failed++
			}
		}
		s, id := opened(t, store, options) // nobody runs it: what is offered piles up
		for range 500 {
			if _, err := s.Deposit(t.Context(), Command{}, id, 1, "EUR", ""); err != nil {
				t.Fatal(err)
			}
		}
		store.before = func(c call) error {
			if strings.HasPrefix(c.stream, snapshotPrefix) {
				return unavailable()
			}
			return nil
		}
		go s.Run(t.Context())
		synctest.Wait()
		if failed != cap(s.snapshots.jobs) {
			t.Errorf("%d failed, want what the queue holds", failed)
		}
		if _, err := s.Deposit(t.Context(), Command{}, id, 1, "EUR", ""); err != nil {
			t.Error(err)
		}
	})
}

// Repeats are recognised through snapshots: the state may come from one, on another replica.
func TestARepeatIsRecognisedThroughASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newScripted()
		options := quick()
		options.SnapshotEvery = 10
		s, id := opened(t, store, options)
		go s.Run(t.Context())
		commands := make([]Command, 25)
		answers := make([]Result[account.Account], len(commands))
		for i := range commands {
			// Without a claim, so that only the snapshot can know of them.
			commands[i] = Command{ID: CommandID("process:x", fmt.Sprint(i)), Operation: "deposit"}
			var err error
			if answers[i], err = s.Deposit(t.Context(), commands[i], id, int64(i)+1, "EUR", ""); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for i, command := range commands {
			fromSnapshot := 0
			options.Hooks.Loaded = func(_ string, start Start, _ int) {
				if start == FromSnapshot {
					fromSnapshot++
				}
			}
			again, err := NewService(store, options).Deposit(t.Context(), command, id, int64(i)+1, "EUR", "")
			if err != nil || !again.Replayed || again.Revision != answers[i].Revision || again.State.Balance != answers[i].State.Balance {
				t.Errorf("command %d: %+v, %v", i, again, err)
			}
			if fromSnapshot == 0 {
				t.Errorf("command %d: no snapshot was used", i)
			}
		}
	})
}
