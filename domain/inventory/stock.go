package inventory

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// FoldVersion changes whenever Apply or the shape of Stock does; snapshots of another version are not used.
const FoldVersion = 1

// Stock is the state of one SKU; the zero value is a SKU that was never received.
//
// Reservations is a sorted list rather than a map: a fold copies it at every change, and a hot SKU has
// thousands of live ones. Copying flat memory is some twenty times cheaper than copying a map.
type Stock struct {
	OnHand       int64         `json:"onHand"`
	Reserved     int64         `json:"reserved"`  // the sum over Reservations
	Available    int64         `json:"available"` // OnHand − Reserved
	Reservations []Reservation `json:"reservations,omitempty"`
	UpdatedAt    time.Time     `json:"updatedAt"`
}

// Reservation is a live promise of pieces to an order.
type Reservation struct {
	OrderID  string `json:"orderId"`
	Quantity int64  `json:"quantity"`
}

// ReservedFor is how many pieces are reserved for an order; 0 if there is no live reservation.
func (s Stock) ReservedFor(orderID string) int64 {
	if i, ok := s.find(orderID); ok {
		return s.Reservations[i].Quantity
	}
	return 0
}

func (s Stock) find(orderID string) (int, bool) {
	return slices.BinarySearchFunc(s.Reservations, orderID, func(r Reservation, id string) int {
		return strings.Compare(r.OrderID, id)
	})
}

// Events lists a zero value of every event of a SKU's stock.
func Events() []domain.Event {
	return []domain.Event{Received{}, Reserved{}, Released{}, Damaged{}, Shipped{}}
}

// Apply is the stock after one more event. It takes any history, also one that no decision of today
// would make, and never changes what the stock before it refers to.
func (s Stock) Apply(r domain.Recorded) Stock {
	switch e := r.Event.(type) {
	case Received:
		s.OnHand += e.Quantity
	case Reserved:
		s.Reservations = s.with(e.OrderID, e.Quantity)
		s.Reserved += e.Quantity
	case Released:
		s.Reservations = s.with(e.OrderID, -e.Quantity)
		s.Reserved -= e.Quantity
	case Damaged:
		s.OnHand -= e.Quantity
	case Shipped:
		s.Reservations = s.with(e.OrderID, -e.Quantity)
		s.Reserved -= e.Quantity
		s.OnHand -= e.Quantity
	default:
		return s
	}
	s.Available = s.OnHand - s.Reserved
	s.UpdatedAt = r.Meta.At
	return s
}

// with is the list with an order's reservation changed by quantity; one that comes to 0 goes.
func (s Stock) with(orderID string, quantity int64) []Reservation {
	i, found := s.find(orderID)
	if !found {
		list := make([]Reservation, len(s.Reservations)+1)
		copy(list, s.Reservations[:i])
		list[i] = Reservation{OrderID: orderID, Quantity: quantity}
		copy(list[i+1:], s.Reservations[i:])
		return list
	}
	if left := s.Reservations[i].Quantity + quantity; left != 0 {
		list := slices.Clone(s.Reservations)
		list[i].Quantity = left
		return list
	}
	if len(s.Reservations) == 1 {
		return nil
	}
	list := make([]Reservation, 0, len(s.Reservations)-1)
	return append(append(list, s.Reservations[:i]...), s.Reservations[i+1:]...)
}
