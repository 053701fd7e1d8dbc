package inventory

import "github.com/tidemark-dev/tidemark/domain"

// Limits of the words on stock movements, in characters.
const (
	MaxReference = 200
	MaxReason    = 200
)

// Receive adds pieces to the stock. It refuses with KindInvalid only.
func (s Stock) Receive(quantity int64, reference string) ([]domain.Event, error) {
	var found domain.Findings
	found.Range("/quantity", quantity, 1, domain.MaxQuantity)
	found.Text("/reference", reference, false, MaxReference)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if _, ok := domain.Add(s.OnHand, quantity); !ok {
		found.Add("/quantity", "out_of_range", "must leave at most %d pieces on hand", domain.MaxAmount)
		return nil, found.Err()
	}
	return []domain.Event{Received{Quantity: quantity, Reference: reference}}, nil
}

// Damage writes available pieces off. Code: insufficient_stock.
func (s Stock) Damage(quantity int64, reason string) ([]domain.Event, error) {
	var found domain.Findings
	found.Range("/quantity", quantity, 1, domain.MaxQuantity)
	found.Text("/reason", reason, true, MaxReason)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if quantity > s.Available {
		return nil, insufficient(s.Available, quantity)
	}
	return []domain.Event{Damaged{Quantity: quantity, Reason: reason}}, nil
}

// Reserve promises pieces to an order. An order that has a reservation keeps it as it is: reserving
// again is the same reservation, whatever the quantity. Code: insufficient_stock.
func (s Stock) Reserve(orderID string, quantity int64) ([]domain.Event, error) {
	var found domain.Findings
	found.UUID("/orderId", orderID)
	found.Range("/quantity", quantity, 1, domain.MaxQuantity)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if s.ReservedFor(orderID) > 0 {
		return nil, nil
	}
	return s.Hold(orderID, quantity)
}

// Hold makes an order's reservation exactly quantity pieces: what fulfilment needs, whoever reserved
// before it. It takes the ids of imported orders too, which aren't UUIDs. Code: insufficient_stock.
func (s Stock) Hold(orderID string, quantity int64) ([]domain.Event, error) {
	held := s.ReservedFor(orderID)
	if held == quantity {
		return nil, nil
	}
	if quantity > s.Available+held {
		return nil, insufficient(s.Available+held, quantity)
	}
	reserved := Reserved{OrderID: orderID, Quantity: quantity}
	if held > 0 {
		return []domain.Event{Released{OrderID: orderID, Quantity: held}, reserved}, nil
	}
	return []domain.Event{reserved}, nil
}

// Release takes an order's reservation back. Code: not_reserved.
func (s Stock) Release(orderID string) ([]domain.Event, error) {
	held := s.ReservedFor(orderID)
	if held <= 0 {
		return nil, notReserved(orderID)
	}
	return []domain.Event{Released{OrderID: orderID, Quantity: held}}, nil
}

// Ship moves an order's reserved pieces out of the house. Code: not_reserved.
func (s Stock) Ship(orderID string) ([]domain.Event, error) {
	held := s.ReservedFor(orderID)
	if held <= 0 {
		return nil, notReserved(orderID)
	}
	return []domain.Event{Shipped{OrderID: orderID, Quantity: held}}, nil
}

func insufficient(available, wanted int64) error {
	if available == 1 {
		return domain.Refuse("insufficient_stock", "1 piece is available, fewer than the %d asked for.", wanted)
	}
	return domain.Refuse("insufficient_stock", "%d pieces are available, fewer than the %d asked for.", available, wanted)
}

func notReserved(orderID string) error {
	return domain.Refuse("not_reserved", "Nothing is reserved for order %q.", orderID)
}
