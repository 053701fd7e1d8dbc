package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// adminAPI is as much of an EventStoreDB's HTTP API as the bootstrap needs.
type adminAPI struct {
	t       *testing.T
	atomPub bool

	mu     sync.Mutex
	users  map[string][]string // name → groups
	access map[string]any      // the default access list
	wrong  string              // a request that was not the administrator's
}

const adminPassword = `pa"ss\wörd $x`

func (a *adminAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if user, password, ok := r.BasicAuth(); !ok || user != "admin" || password != adminPassword {
		a.wrong = r.Method + " " + r.URL.Path
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	switch name, isUser := strings.CutPrefix(r.URL.Path, "/users/"); {
	case isUser && r.Method == http.MethodGet:
		if _, ok := a.users[name]; !ok {
			w.WriteHeader(http.StatusNotFound)
		}
	case isUser && r.Method == http.MethodPost:
		var user struct {
			LoginName, Password string
			Groups              []string
		}
		if err := json.Unmarshal(body, &user); err != nil || user.Password != "secret of "+user.LoginName {
			a.t.Errorf("user %s: %v", body, err)
		}
		a.users[user.LoginName] = user.Groups
		w.WriteHeader(http.StatusCreated)
	case r.URL.Path == "/streams/$settings" && r.Method == http.MethodPost && a.atomPub:
		var events []struct {
			EventID, EventType string
			Data               map[string]any
		}
		if err := json.Unmarshal(body, &events); err != nil || len(events) != 1 || len(events[0].EventID) != 36 ||
			r.Header.Get("Content-Type") != "application/vnd.eventstore.events+json" {
			a.t.Errorf("settings %s: %v", body, err)
			return
		}
		a.access = events[0].Data
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestBootstrapEventStore: two users with their groups and an access list, from passwords in files, and again
// without harm; a node that takes no access list is named as the reason.
func TestBootstrapEventStore(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("the script needs curl; this machine has none")
	}
	api := &adminAPI{t: t, users: map[string][]string{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	env := []string{"EVENTSTORE_URL=" + server.URL}
	for variable, secret := range map[string]string{"EVENTSTORE_ADMIN": adminPassword, "TIDEMARK_API": "secret of tidemark-api", "TIDEMARK_WORKER": "secret of tidemark-worker"} {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, variable+"_PASSWORD_FILE="+file)
	}
	if code, out := runScript(t, "bootstrap-eventstore", []string{"--yes"}, env...); code != 1 || !strings.Contains(out, "KURRENTDB_ENABLE_ATOM_PUB_OVER_HTTP=true") {
		t.Errorf("a node without AtomPub: %d\n%s", code, out)
	}
	api.mu.Lock()
	api.atomPub = true
	api.mu.Unlock()
	if code, out := runScript(t, "bootstrap-eventstore", []string{"--yes"}, env...); code != 0 || !strings.Contains(out, "user tidemark-api exists") {
		t.Errorf("a second run: %d\n%s", code, out)
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if diff := cmp.Diff(map[string][]string{"tidemark-api": {"tidemark"}, "tidemark-worker": {"tidemark", "$ops"}}, api.users); diff != "" || api.wrong != "" {
		t.Errorf("users, and %q without the right password:\n%s", api.wrong, diff)
	}
	system, _ := api.access["$systemStreamAcl"].(map[string]any)
	user, _ := api.access["$userStreamAcl"].(map[string]any)
	if diff := cmp.Diff([]any{"$admins", "tidemark"}, system["$r"]); diff != "" || system["$w"] != "$admins" || user["$w"] != "tidemark" || user["$d"] != "$admins" {
		t.Errorf("access list %v\n%s", api.access, diff)
	}
}
