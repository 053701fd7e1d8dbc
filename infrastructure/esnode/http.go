package esnode

import (
	"encoding/json"
	"net/http"
)

// http serves what harnesses and people look at: liveness, and what this is.
func (n *Node) http() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	routes.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"msgTypeId": "3", "text": "Ping request successfully handled"})
	})
	routes.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{
			"dbVersion": version, "esVersion": version, "product": "tidemark", "state": "leader",
			"features":       map[string]bool{"projections": true, "userManagement": false, "atomPub": false},
			"authentication": map[string]any{"type": "insecure", "properties": map[string]string{}},
		})
	})
	return routes
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(v) // the caller hung up
}
