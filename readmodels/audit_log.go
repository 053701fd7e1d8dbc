package readmodels

import (
	"encoding/json"

	"github.com/tidemark-dev/tidemark/domain"
)

// auditLog: one row per event. The documents, one per stream and hidden, only know how far they are.
var auditLog = define(Model{
	Name: "audit_log", Title: "Audit log", Version: 1, Categories: []string{"order", "product", "inventory", "account", "fulfilment"},
	RowIndexes: [][]string{{"at"}, {"stream", "at"}, {"actor", "at"}, {"correlationId", "at"}, {"type", "at"}},
	key:        func(stream string) string { return stream },
}, func(_ *struct{}, r domain.Recorded) (any, error) { return EventView(r), nil }, func(*struct{}) bool { return true })

// The screens that show it.
var auditLogScreens = []Screen{auditList.screen("audit_log")}

// Event is an event in histories and in the audit log.
type Event struct {
	Stream        string       `json:"stream"`
	Revision      int64        `json:"revision"`
	ID            string       `json:"id"`
	Type          string       `json:"type"`
	SchemaVersion int          `json:"schemaVersion"`
	At            string       `json:"at"`
	Actor         string       `json:"actor"`
	CorrelationID string       `json:"correlationId"`
	CausationID   string       `json:"causationId"`
	CommandID     string       `json:"commandId"`
	Data          domain.Event `json:"data"`
	Undecodable   bool         `json:"undecodable,omitempty"` // this release can't read Data
}

// EventView is an event as answers show it; SchemaVersion is the stored one.
func EventView(r domain.Recorded) Event {
	return Event{Stream: r.Stream, Revision: r.Revision, ID: r.ID, Type: r.Type, SchemaVersion: r.Meta.SchemaVersion, At: Stamp(when(r)), Actor: r.Meta.Actor,
		CorrelationID: r.Meta.CorrelationID, CausationID: r.Meta.CausationID, CommandID: r.Meta.CommandID, Data: r.Event, Undecodable: r.Event == nil}
}

var auditList = listing{
	operation: "listAudit",
	model:     func() *Model { return auditLog },
	rows:      true,
	kept:      true,
	sort:      []Sort{{Path: "at", Desc: true}},
	where: func(ask Ask, _ *Reader) ([]Condition, error) {
		period, err := ask.period("at")
		if !ask.AsOf.IsZero() {
			period = append(period, Condition{Path: "at", Op: LessOrEqual, Value: Stamp(ask.AsOf)})
		}
		return append(ask.equals(map[string]string{"stream": "stream", "actor": "actor", "correlationId": "correlationId", "type": "type"}), period...), err
	},
	item: func(d Document, _ *Reader) (any, error) { return json.RawMessage(d.Body), nil },
}
