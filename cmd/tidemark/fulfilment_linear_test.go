package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// told is how an operation was answered: "ok" or the code of its refusal.
func told(err error) string {
	if err == nil {
		return "ok"
	}
	return domain.CodeOf(err)
}

// stockCall is an operation on one SKU's stock.
type stockCall struct {
	name     string
	order    int
	quantity int64
}

// stockModel is a stock as a customer sees it: what is on hand, and who has how much of it.
var stockModel = porcupine.Model{
	Init: func() any { return [5]int64{} }, // on hand, then held by each of four orders
	Step: func(state, input, output any) (bool, any) {
		s, call := state.([5]int64), input.(stockCall)
		held := s[1] + s[2] + s[3] + s[4]
		want := "ok"
		switch call.name {
		case "receive":
			s[0] += call.quantity
		case "damage":
			if s[0]-held < call.quantity {
				want = "insufficient_stock"
			} else {
				s[0] -= call.quantity
			}
		case "reserve":
			switch {
			case s[call.order] > 0: // the same reservation
			case s[0]-held < call.quantity:
				want = "insufficient_stock"
			default:
				s[call.order] = call.quantity
			}
		case "release":
			if s[call.order] == 0 {
				want = "not_reserved"
			}
			s[call.order] = 0
		}
		return output.(string) == want, s
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %v", input, output) },
}

// Reservations through several replicas look as if they had happened one after the other, each between its
// call and its answer.
func TestReservationsAreLinearizable(t *testing.T) {
	t.Parallel()
	w := newWarehouse(t, uint64(time.Now().UnixNano()))
	replicas := []*application.Service{w.people, replica(t, w.node.connect(t), application.Options{})}
	orders := []string{"", uuid.NewString(), uuid.NewString(), uuid.NewString(), uuid.NewString()}
	for round := range 6 {
		sku := fmt.Sprint("SKU-", round)
		w.receive(sku, 1)
		history := w.concurrently(6, 12, func(client int) (any, func() string) {
			call := stockCall{[]string{"receive", "damage", "reserve", "reserve", "release"}[w.pick(5)], 1 + w.pick(4), int64(1 + w.pick(4))}
			service := replicas[client%len(replicas)]
			return call, func() string {
				var err error
				switch call.name {
				case "receive":
					_, err = service.ReceiveStock(t.Context(), application.Command{}, sku, call.quantity, "")
				case "damage":
					_, err = service.DamageStock(t.Context(), application.Command{}, sku, call.quantity, "wet")
				case "reserve":
					_, err = service.ReserveStock(t.Context(), application.Command{}, sku, orders[call.order], call.quantity)
				case "release":
					_, err = service.ReleaseStock(t.Context(), application.Command{}, sku, orders[call.order])
				}
				return told(err)
			}
		})
		first := porcupine.Operation{ClientId: 99, Input: stockCall{"receive", 0, 1}, Output: "ok", Call: -2, Return: -1}
		checkLinear(t, stockModel, append(history, first))
	}
}

// orderModel is the life of an order with lines, from created on.
var orderModel = porcupine.Model{
	Init: func() any { return "created" },
	Step: func(state, input, output any) (bool, any) {
		status, call := state.(string), input.(string)
		next, want := status, "ok"
		switch call {
		case "confirm":
			if next = "confirmed"; status != "created" {
				next, want = status, "invalid_transition"
			}
		case "cancel":
			if next = "cancelled"; status != "created" && status != "confirmed" {
				next, want = status, "invalid_transition"
			}
		case "add":
			if status != "created" {
				want = "order_not_open"
			}
		}
		return output.(string) == want, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
}

// Confirming, cancelling and changing one order from several replicas at once is linearizable too: an order
// is confirmed or cancelled, and nothing is added to it after either.
func TestConfirmAgainstCancelIsLinearizable(t *testing.T) {
	t.Parallel()
	w := newWarehouse(t, uint64(time.Now().UnixNano()))
	replicas := []*application.Service{w.people, replica(t, w.node.connect(t), application.Options{})}
	for range 12 {
		made, err := w.people.CreateOrder(t.Context(), application.Command{MayPrice: true}, application.CreateOrder{
			CustomerID: "c-1", AccountID: uuid.NewString(), Currency: "EUR", Items: []application.NewLine{line("A", 1, 1)},
		})
		if err != nil {
			t.Fatal(err)
		}
		history := w.concurrently(6, 3, func(client int) (any, func() string) {
			call := []string{"confirm", "cancel", "add", "add"}[w.pick(4)]
			service := replicas[client%len(replicas)]
			return call, func() string {
				var err error
				switch call {
				case "confirm":
					_, err = service.ConfirmOrder(t.Context(), application.Command{}, made.ID)
				case "cancel":
					_, err = service.CancelOrder(t.Context(), application.Command{}, made.ID, "no")
				case "add":
					_, err = service.AddItem(t.Context(), application.Command{MayPrice: true}, made.ID, line("A", 1, 1))
				}
				return told(err)
			}
		})
		checkLinear(t, orderModel, history)
	}
}

// concurrently has clients call operations one after the other, each side by side with the others', and
// notes when each was called and answered.
func (w *warehouse) concurrently(clients, calls int, next func(client int) (input any, call func() string)) []porcupine.Operation {
	var mu sync.Mutex
	var history []porcupine.Operation
	var running sync.WaitGroup
	began := time.Now()
	for client := range clients {
		running.Go(func() {
			for range calls {
				input, call := next(client)
				op := porcupine.Operation{ClientId: client, Input: input, Call: int64(time.Since(began))}
				op.Output = call()
				op.Return = int64(time.Since(began))
				mu.Lock()
				history = append(history, op)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return history
}

func checkLinear(t *testing.T, model porcupine.Model, history []porcupine.Operation) {
	t.Helper()
	switch result := porcupine.CheckOperationsTimeout(model, history, patience); result {
	case porcupine.Ok:
		return
	default:
		slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		for _, op := range history {
			t.Logf("client %d %8d–%8d µs  %s", op.ClientId, op.Call/1000, op.Return/1000, model.DescribeOperation(op.Input, op.Output))
		}
		t.Fatalf("the history is %s", result)
	}
}
