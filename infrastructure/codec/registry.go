package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// kind is what the codec knows of one stored name.
type kind struct {
	name    string
	version int // of today's shape
	shape   reflect.Type
	upcast  map[int]upcaster // old version → event of today

	freeForm bool // shape has parts that may hold anything
}

// upcaster reads data of one old version. dated is when the data says it happened, zero if it does not.
type upcaster func(old envelope, data []byte) (event domain.Event, dated time.Time, err error)

// registry holds every stored name there is. Names that are not in changed have had one shape so far:
// version 1 is today's.
var registry = register(changed, lists()...)

// changed are the names whose shape is not the first. Version 1 is the article's shape in all of them.
var changed = map[string]map[int]upcaster{
	"OrderCreated":      {1: article(orderCreated)},
	"ItemAdded":         {1: article(itemAdded)},
	"ItemRemoved":       {1: article(itemRemoved)},
	"OrderConfirmed":    {1: article(orderConfirmed)},
	"OrderShipped":      {1: article(orderShipped)},
	"OrderCancelled":    {1: article(orderCancelled)},
	"InventoryReserved": {1: article(inventoryReserved)},
	"InventoryReleased": {1: article(inventoryReleased)},
	"InventoryDamaged":  {1: article(inventoryDamaged)},
	"Deposited":         {1: article(deposited)},
	"AccountCredited":   {1: article(accountCredited)},
}

func register(changed map[string]map[int]upcaster, lists ...[]domain.Event) map[string]kind {
	kinds := make(map[string]kind)
	for _, event := range slices.Concat(lists...) {
		name := event.EventType()
		if _, twice := kinds[name]; twice {
			panic("codec: two types carry the stored name " + name)
		}
		shape := reflect.TypeOf(event)
		kinds[name] = kind{name: name, version: 1 + len(changed[name]), shape: shape, upcast: changed[name],
			freeForm: isFreeForm(shape, map[reflect.Type]bool{})}
	}
	for name := range changed {
		if _, known := kinds[name]; !known {
			panic("codec: an upcaster for a name that no type carries: " + name)
		}
	}
	return kinds
}

// Types are the stored names of all events, sorted.
func Types() []string { return slices.Sorted(maps.Keys(registry)) }

// Version is today's schema version of a stored name, 0 for an unknown one.
func Version(eventType string) int { return registry[eventType].version }

// decode reads data at its stored version.
func (k kind) decode(stored envelope, data []byte) (domain.Event, time.Time, error) {
	upcast, old := k.upcast[stored.meta.SchemaVersion]
	if !old {
		event, err := k.today(data)
		return event, time.Time{}, err
	}
	event, dated, err := upcast(stored, data)
	if err == nil && event == nil {
		event, err = k.today(data)
	}
	return event, dated, err
}

var snapshotShape = reflect.TypeFor[domain.SnapshotTaken]()

// today reads today's shape. Unknown fields are left alone, so that the release before one that adds
// a field can still run beside it.
func (k kind) today(data []byte) (domain.Event, error) {
	if k.shape == snapshotShape {
		if event, ok := snapshotTaken(data); ok {
			return event, nil
		}
	}
	pointer := reflect.New(k.shape)
	if err := unmarshal(data, pointer.Interface(), k.freeForm); err != nil {
		return nil, err
	}
	event, ok := pointer.Elem().Interface().(domain.Event)
	if !ok {
		return nil, fmt.Errorf("%s is no event", k.shape)
	}
	return event, nil
}

// unmarshal takes exactly one JSON object, and keeps numbers in free-form parts as they were written.
func unmarshal(data []byte, target any, freeForm bool) error {
	if !isObject(data) {
		var object map[string]json.RawMessage
		if err := json.Unmarshal(data, &object); err != nil {
			return err
		}
		return fmt.Errorf("data is null, not an object")
	}
	if !freeForm {
		return json.Unmarshal(data, target)
	}
	if !json.Valid(data) {
		return json.Unmarshal(data, new(any)) // says what is wrong with it
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return decoder.Decode(target)
}

// isFreeForm says whether a shape has parts whose type the JSON decides.
func isFreeForm(shape reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[shape] {
		return false
	}
	seen[shape] = true
	switch shape.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return isFreeForm(shape.Elem(), seen)
	case reflect.Struct:
		for field := range shape.Fields() {
			if isFreeForm(field.Type, seen) {
				return true
			}
		}
	}
	return false
}

// lists are the events of every package of the domain.
func lists() [][]domain.Event {
	return [][]domain.Event{
		order.Events(), product.Events(), inventory.Events(), account.Events(), fulfilment.Events(),
		{domain.SnapshotTaken{}, domain.KeyClaimed{}},
	}
}
