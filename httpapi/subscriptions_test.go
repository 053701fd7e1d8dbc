package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
)

// changedGroups is the stand-in that notes what is asked of it.
type changedGroups struct {
	standInGroups
	made    []domain.Group
	changes []domain.GroupChange
}

func (g *changedGroups) Create(_ context.Context, group domain.Group, _ domain.From) error {
	g.made = append(g.made, group)
	return nil
}

func (g *changedGroups) Update(_ context.Context, _ string, change domain.GroupChange) error {
	g.changes = append(g.changes, change)
	return nil
}

func TestSettingsOfAGroupAreChangedOrOnlyShown(t *testing.T) {
	groups := &changedGroups{}
	w := newWorld(t, func(o *Options) {
		o.Groups = groups
		o.Following = []Follower{{Group: "orders", Prefixes: []string{"order-"}}}
	})
	answer := func(target, body string) (got updated) {
		t.Helper()
		response := w.send("PATCH", target, body).expect(http.StatusOK, "")
		if err := json.Unmarshal(response.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	const group, change = "/v1/ops/subscriptions/orders", `{"settings":{"maxRetryCount":20,"consumerStrategy":"Pinned","messageTimeoutMs":1000}}`
	want := []settingChange{{"maxRetryCount", float64(1 << 30), float64(20)}, {"messageTimeoutMs", float64(30_000), float64(1000)}}
	planned := answer(group+"?dryRun=true", change)
	if diff := cmp.Diff(want, planned.Changes); diff != "" || planned.Settings.MaxRetryCount != 20 || len(planned.Warnings) != 2 || len(groups.changes) != 0 {
		t.Errorf("dry run: %+v, %d changes made\n%s", planned, len(groups.changes), diff)
	}
	if doubts := answer("/v1/ops/subscriptions/reporting?dryRun=true", change).Warnings; len(doubts) != 0 {
		t.Errorf("a group of somebody else's may park as it likes: %q", doubts)
	}
	done := answer(group, change)
	if diff := cmp.Diff(want, done.Changes); diff != "" || len(groups.changes) != 1 || *groups.changes[0].MaxRetryCount != 20 || groups.changes[0].LiveBufferSize != nil {
		t.Errorf("%+v\n%s", groups.changes, diff)
	}
	for _, nothing := range []string{`{}`, `{"settings":{}}`, `{"settings":{"consumerStrategy":"Pinned"}}`} {
		if got := answer(group, nothing); len(got.Changes) != 0 || len(groups.changes) != 1 {
			t.Errorf("%s changed %v and disconnected every consumer", nothing, got.Changes)
		}
	}
	w.send("POST", "/v1/ops/subscriptions", `{"group":"reporting","prefixes":["order-"],"settings":{"maxRetryCount":3}}`).expect(http.StatusCreated, "")
	if len(groups.made) != 1 || *groups.made[0].Settings.MaxRetryCount != 3 {
		t.Errorf("made %+v", groups.made)
	}
}

func TestWhatAGroupCantChangeIsNamed(t *testing.T) {
	groups := &changedGroups{}
	w := newWorld(t, func(o *Options) { o.Groups = groups })
	for body, want := range map[string][]string{
		`{"prefixes":["product-"]}`:                               {"/prefixes fixed"},
		`{"from":0,"group":"x","stream":"$all","prefixes":["x"]}`: {"/from fixed", "/group fixed", "/prefixes fixed", "/stream fixed"},
		`{"filter":"x"}`:                                          {"/filter unknown_field"},
		`{"maxRetryCount":1}`:                                     {"/maxRetryCount unknown_field"},
		`{"settings":{"maxretrycount":1}}`:                        {"/settings/maxretrycount unknown_field"},
		`{"settings":{"maxRetryCount":1.0}}`:                      {"/settings/maxRetryCount not_an_integer"},
		`{"settings":{"maxRetryCount":null}}`:                     {"/settings/maxRetryCount null"},
		`{"settings":{"consumerStrategy":"PinnedByCorrelation"}}`: {"/settings/consumerStrategy unknown"},
		`{"settings":{"messageTimeoutMs":0}}`:                     {"/settings/messageTimeoutMs out_of_range"},
		`{"settings":{"readBatchSize":2000}}`:                     {"/settings/readBatchSize out_of_range"},
		`{"settings":{"minCheckpointCount":1001}}`:                {"/settings/minCheckpointCount out_of_range"},
	} {
		var problem struct {
			Errors []domain.Field `json:"errors"`
		}
		got := w.send("PATCH", "/v1/ops/subscriptions/orders", body).expect(http.StatusUnprocessableEntity, "invalid_request")
		if err := json.Unmarshal(got.Body.Bytes(), &problem); err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range problem.Errors {
			found = append(found, f.Pointer+" "+f.Code)
		}
		slices.Sort(found)
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%s:\n%s", body, diff)
		}
	}
	w.send("PATCH", "/v1/ops/subscriptions/orders", "").expect(http.StatusBadRequest, "malformed_json")
	w.send("PATCH", "/v1/ops/subscriptions/nobody", `{"settings":{"maxRetryCount":1}}`).expect(http.StatusNotFound, "not_found")
	if len(groups.changes) != 0 {
		t.Errorf("refused and done all the same: %+v", groups.changes)
	}
}
