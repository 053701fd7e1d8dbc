package readmodels

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// events of a script by their ids.
func (s *script) byID() map[string]domain.Recorded {
	all := map[string]domain.Recorded{}
	for _, r := range s.events() {
		all[r.ID] = r
	}
	return all
}

// foldCauses folds nothing but these events into a new document.
func foldCauses(t *rapid.T, m *Model, id string, events map[string]domain.Recorded, causes []Cause) *working {
	w, err := m.open(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, cause := range causes {
		r := events[cause.EventID]
		row, err := w.fold(r)
		if err == nil && row != nil {
			err = w.addRow(r, row)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.reached[r.Stream] = r.Revision
	}
	return w
}

// keyed are the values of a view by their keys, and the keys by their paths.
func keyed(t *rapid.T, v view) (values, keys map[string]string) {
	leaves, err := leavesOf(v)
	if err != nil {
		t.Fatal(err)
	}
	values, keys = map[string]string{}, map[string]string{}
	for _, l := range leaves {
		if l.path != "" {
			values[l.key], keys[l.path] = l.value, l.key
		}
	}
	return values, keys
}

// The events that an explanation names for a field, folded alone, show what the field shows: each field of
// each document of each screen, whatever the history.
func TestExplanationsAreTrue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		drawHistory(t, s, 60)
		r := s.side(newMemory()).Reader()
		events := s.byID()
		for _, m := range []*Model{orderDetails, customerOrders, orderBoard, catalogue, stockLevels, accountStatement, fulfilmentMonitor} {
			for n := range 4 {
				for _, id := range []string{orderID(n), sku(n), accountID(n)} {
					x, err := r.Explain(t.Context(), m.Name, id)
					if err != nil && domain.KindOf(err) == domain.KindNotFound {
						continue
					} else if err != nil {
						t.Fatal(err)
					}
					whole, err := r.foldDocument(t.Context(), m, id, until{}, nil)
					if err != nil {
						t.Fatal(err)
					}
					shown, _ := r.shows(whole)
					want, keys := keyed(t, shown)
					if diff := cmp.Diff(slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(x.Fields))); diff != "" || x.Shortened {
						t.Fatalf("%s %s (-shown +explained):\n%s", m.Name, id, diff)
					}
					for path, causes := range x.Fields {
						alone, _ := r.shows(foldCauses(t, m, id, events, causes))
						got, _ := keyed(t, alone)
						if key := keys[path]; got[key] != want[key] {
							t.Fatalf("%s of %s in %s is %s, explained by %d events that give %q: %+v", path, id, m.Name, want[key], len(causes), got[key], causes)
						}
					}
				}
			}
		}
	})
}

// explainedSums is the explanation of an answer that adds up many documents, beside what the answer shows.
func explainedSums(t *rapid.T, body any) (x Explanation, shown map[string]string) {
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Explain Explanation `json:"explain"`
	}
	var rest map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &rest); err != nil {
		t.Fatal(err)
	}
	delete(rest, "explain")
	shown, _ = keyed(t, view{shown: rest})
	return answer.Explain, shown
}

// perDocument are causes by the document that they are of.
func perDocument(causes []Cause) map[string][]Cause {
	all := map[string][]Cause{}
	for _, c := range causes {
		id := domain.StreamID(c.Stream)
		all[id] = append(all[id], c)
	}
	return all
}

// Sums over many documents are explained by events that, folded alone, add up to them.
func TestExplanationsOfSumsAreTrue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		drawHistory(t, s, 60)
		e := s.side(newMemory())
		deliver(t, e, s.deliveries())
		events := s.byID()
		// added is what a field is by the events that explain it.
		added := func(m *Model, causes []Cause, adds func(w *working) int64) (sum int64) {
			for id, own := range perDocument(causes) {
				sum += adds(foldCauses(t, m, id, events, own))
			}
			return sum
		}
		hold := func(what string, x Explanation, shown map[string]string, sums map[string]func(w *working) int64, m *Model) {
			if x.Sums == nil || x.Shortened || x.Sums.Documents != x.Sums.Explained {
				t.Fatalf("%s: %+v", what, x)
			}
			for field, adds := range sums {
				want := shown[field]
				if want == "" {
					want = "json.Number 0"
				}
				if got := added(m, x.Fields[field], adds); fmt.Sprintf("json.Number %d", got) != want || got != x.Sums.Values[field] {
					t.Fatalf("%s of %s is %s, its events give %d, the explanation says %d: %+v", field, what, want, got, x.Sums.Values[field], x.Fields[field])
				}
			}
		}
		row := func(w *working) *orderRow { return w.state.(*orderRow) }
		for _, customer := range []string{"c0", "c1"} {
			x, shown := explainedSums(t, answered(t, e, "getCustomer", Ask{Params: map[string]string{"id": customer}, Explain: true}).Body)
			hold(customer, x, shown, map[string]func(*working) int64{
				"orders": func(w *working) int64 { return one(row(w).CustomerID == customer) }, "open": func(w *working) int64 { return row(w).Open },
				"spent.EUR": func(w *working) int64 {
					return row(w).Spent * one(row(w).Currency == "EUR" && row(w).CustomerID == customer)
				},
				"spent.CHF": func(w *working) int64 {
					return row(w).Spent * one(row(w).Currency == "CHF" && row(w).CustomerID == customer)
				},
			}, customerOrders)
		}
		x, shown := explainedSums(t, answered(t, e, "getBoard", Ask{Explain: true, Limit: 200}).Body)
		counts := map[string]func(*working) int64{}
		for _, status := range statuses {
			counts["counts."+string(status)] = func(w *working) int64 { return one(w.state.(*boardRow).Status == string(status)) }
		}
		hold("the board", x, shown, counts, orderBoard)
		holdBoardRows(t, e.Reader(), events, x, shown)
		for _, item := range answered(t, e, "listSales", Ask{Explain: true, Limit: 200}).Items {
			x, shown := explainedSums(t, item)
			sums := map[string]func(*working) int64{}
			for i, name := range salesSums {
				sums[name] = func(w *working) (sum int64) {
					for _, r := range w.rows { // an order may count more than once on a day
						if d := must(rowOf[SalesDay](r)); "string "+d.Day == shown["day"] {
							sum += []int64{d.Created, d.Confirmed, d.Shipped, d.Cancelled, d.Units, d.Revenue}[i]
						}
					}
					return sum
				}
			}
			hold("a day", x, shown, sums, salesByDay)
		}
	})
}

// holdBoardRows holds that the rows of the board are explained, too.
func holdBoardRows(t *rapid.T, r *Reader, events map[string]domain.Recorded, x Explanation, shown map[string]string) {
	for _, list := range []string{"oldestWaiting", "toShip"} {
		for i := 0; shown[fmt.Sprintf("%s[%d].id", list, i)] != ""; i++ {
			place := fmt.Sprintf("%s[%d].", list, i)
			for _, field := range []string{"total", "totalItems", "since", "customerId"} {
				causes := x.Fields[fmt.Sprintf("%s.%d.%s", list, i, field)]
				if len(causes) == 0 {
					t.Fatalf("%s%s has no explanation", place, field)
				}
				alone, _ := r.shows(foldCauses(t, orderBoard, domain.StreamID(causes[0].Stream), events, causes))
				if got, _ := keyed(t, alone); got[field] != shown[place+field] {
					t.Fatalf("%s%s is %s, its events give %s", place, field, shown[place+field], got[field])
				}
			}
		}
	}
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// answered is the answer of a screen.
func answered(t *rapid.T, e *Engine, operation string, question Ask) Answer {
	answer, err := screenOf(t, operation).Answer(t.Context(), e.Reader(), question)
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	return answer
}

func TestExplainIsPartOfTheAnswer(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	for _, operation := range []string{"getOrder", "getStock", "listOrders", "listStock", "listAudit", "listStockMovements"} {
		answer := answerTo(t, e, operation, Ask{Params: map[string]string{"id": orderID(1), "sku": "A"}, Explain: true})
		shown := answer.Body
		if answer.List {
			shown = answer.Items[0]
		}
		var body struct {
			Explain Explanation `json:"explain"`
		}
		if err := json.Unmarshal(must(json.Marshal(shown)), &body); err != nil || len(body.Explain.Fields) == 0 {
			t.Errorf("%s: %s (%v)", operation, must(json.Marshal(shown)), err)
		}
	}
	answer := answerTo(t, e, "getStock", Ask{Params: map[string]string{"sku": "A"}, Explain: true})
	var body struct {
		Explain Explanation `json:"explain"`
	}
	if err := json.Unmarshal(must(json.Marshal(answer.Body)), &body); err != nil {
		t.Fatal(err)
	}
	if causes := body.Explain.Fields["reserved"]; len(causes) != 1+1 || causes[1].Type != "InventoryReserved" || causes[1].Actor != "tester" || causes[1].CommandID == "" {
		t.Errorf("%+v", causes)
	}
}

// The running sums of entries and movements are explained, too.
func TestExplanationsOfRowsAreTrue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		drawHistory(t, s, 60)
		e := s.side(newMemory())
		deliver(t, e, s.deliveries())
		events := s.byID()
		for operation, m := range map[string]*Model{"getAccountStatement": accountStatement, "listStockMovements": stockLevels, "listAudit": auditLog} {
			for n := range 4 {
				if operation == "listAudit" && n > 0 {
					break // its list is the same for all
				}
				asked := Ask{Params: map[string]string{"id": accountID(n), "sku": sku(n)}, Explain: true, Limit: 200}
				answer, err := screenOf(t, operation).Answer(t.Context(), e.Reader(), asked)
				if domain.KindOf(err) == domain.KindNotFound && err != nil {
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				for _, item := range answer.Items {
					x, shown := explainedSums(t, item)
					for path, causes := range x.Fields {
						stream := causes[0].Stream
						w := foldCauses(t, m, m.Document(stream), events, causes)
						got, _ := keyed(t, view{shown: json.RawMessage(w.rows[len(w.rows)-1].Body)})
						if got[path] != shown[path] || x.Shortened {
							t.Fatalf("%s of %s is %s, its events give %s: %+v", path, item, shown[path], got[path], causes)
						}
					}
				}
			}
		}
	})
}

func TestExplanationsAreBoundedAndSaySo(t *testing.T) {
	s := newScript()
	for range maxCauses + 20 {
		s.append("inventory-A", inventory.Received{Quantity: 1})
	}
	for n := range explainedDocuments + 30 {
		s.append(domain.Stream("order", orderID(n)), order.Created{CustomerID: "c0", AccountID: accountID(0), Currency: "EUR", Items: []order.Line{{SKU: "A", Quantity: 1, UnitPrice: 100}}})
		s.append(domain.Stream("order", orderID(n)), order.Confirmed{})
	}
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	explanation := func(operation string) Explanation {
		answer := answerTo(t, e, operation, Ask{Params: map[string]string{"id": "c0", "sku": "A"}, Explain: true, Limit: 200})
		shown := answer.Body
		if answer.List {
			shown = answer.Items[len(answer.Items)-1]
		}
		var body struct {
			Explain Explanation `json:"explain"`
		}
		if err := json.Unmarshal(must(json.Marshal(shown)), &body); err != nil {
			t.Fatal(err)
		}
		return body.Explain
	}
	for operation, field := range map[string]string{"getStock": "onHand", "listStock": "onHand", "listStockMovements": "available"} {
		x := explanation(operation)
		if !x.Shortened || x.Omitted[field] != 20 || len(x.Fields[field]) != maxCauses || x.Fields[field][maxCauses-1].Revision != maxCauses+19 {
			t.Errorf("%s: shortened %v, omitted %v, %d events", operation, x.Shortened, x.Omitted, len(x.Fields[field]))
		}
	}
	customer := explanation("getCustomer")
	want := &Sums{Documents: explainedDocuments + 30, Explained: explainedDocuments, Values: map[string]int64{"orders": explainedDocuments, "open": explainedDocuments, "spent.EUR": 100 * explainedDocuments}}
	if diff := cmp.Diff(want, customer.Sums); diff != "" || !customer.Shortened || len(customer.Fields["spent.EUR"]) != 2*explainedDocuments {
		t.Errorf("a customer, shortened %v (-want +got):\n%s", customer.Shortened, diff)
	}
	board := explanation("getBoard")
	if board.Sums.Documents != explainedDocuments+30 || board.Sums.Values["counts.confirmed"] != explainedDocuments || !board.Shortened || len(board.Fields["oldestWaiting.79.total"]) != 1 {
		t.Errorf("the board: %+v, shortened %v, %v", board.Sums, board.Shortened, board.Fields["oldestWaiting.79.total"])
	}
	if sales := explanation("listSales"); !sales.Shortened || sales.Sums.Explained > explainedDocuments || sales.Sums.Explained >= sales.Sums.Documents {
		t.Errorf("a day: %+v, shortened %v", sales.Sums, sales.Shortened)
	}
}

// What is explained is what is shown, not what happened since: in the past, and where the screen lags.
func TestExplanationsAreOfWhatIsShown(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	then := s.Now()
	s.append("order-"+orderID(1), order.Cancelled{Reason: "late"})
	for _, asked := range []Ask{{Explain: true}, {Explain: true, AsOf: then}} {
		asked.Params = map[string]string{"id": orderID(1)}
		x, shown := explainedSums(nil, answerTo(t, e, "getOrder", asked).Body)
		if causes := x.Fields["status"]; shown["status"] != "string prepared" || causes[len(causes)-1].Type != "OrderPrepared" || x.Fields["cancelReason"] != nil {
			t.Errorf("%s: %+v", shown["status"], causes)
		}
		board, _ := explainedSums(nil, answerTo(t, e, "getBoard", asked).Body)
		if board.Sums.Values["counts.prepared"] != 1 || board.Fields["counts.cancelled"] != nil {
			t.Errorf("the board: %+v", board.Sums)
		}
	}
}
