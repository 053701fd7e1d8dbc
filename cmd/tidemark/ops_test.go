package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlitedocs"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// said is how a command ended and what it wrote.
type said struct {
	code      int
	out, errs string
}

// tidemark runs an operator command against the process.
func (p *process) tidemark(args ...string) said {
	p.t.Helper()
	code, out, errs := runProgram(p.t, args, "TIDEMARK_DATA_DIR="+p.data, "TIDEMARK_LOG_LEVEL=error", "TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=127.0.0.1:0")
	return said{code, out, errs}
}

// step is a command with what has to come of it; out are patterns.
type step struct {
	args string
	code int
	out  []string
	errs string
}

func (p *process) walk(steps []step) {
	p.t.Helper()
	for _, s := range steps {
		got := p.tidemark(strings.Fields(s.args)...)
		if got.code != s.code || !strings.Contains(got.errs, s.errs) {
			p.t.Errorf("tidemark %s ended with %d, want %d and %q\n%s%s", s.args, got.code, s.code, s.errs, got.out, got.errs)
		}
		for _, pattern := range s.out {
			if !regexp.MustCompile("(?m)" + pattern).MatchString(got.out) {
				p.t.Errorf("tidemark %s does not say %q:\n%s", s.args, pattern, got.out)
			}
		}
	}
}

// An operator changes groups: every command that touches something shows first what, says by its exit code how
// it went, and does nothing that has not been agreed to.
func TestOperatorsChangeGroups(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil)
	openAccount(t, p.api)
	p.await("the account's screen", func() bool {
		_, err := p.api.call(t.Context(), "GET", "/v1/ops/subscriptions/account_statement", nil, nil)
		return err == nil
	})
	p.walk([]step{
		{"subscriptions", 2, nil, "needs a subcommand"},
		{"subscriptions nonsense", 2, nil, ""},
		{"subscriptions show", 2, nil, "accepts 1 arg"},
		{"subscriptions show no_such_group", 1, nil, "no_such_group"},
		{"subscriptions list", 0, []string{`^GROUP +STREAM`, `^account_statement +\$all`, `^process-fulfilment `}, ""},
		{"subscriptions show account_statement --json", 0, []string{`"consumerStrategy": "Pinned"`, `"prefixes": \[`}, ""},
		{"subscriptions create reporting --prefix order- --from end --max-retry-count 7", 0, []string{"exists"}, ""},
		{"subscriptions create reporting --prefix order-", 1, nil, "group_exists"},
		{"subscriptions create other", 2, nil, "--prefix"},
		{"subscriptions create other --prefix order- --from middle", 2, nil, "neither start, end"},
		{"subscriptions create other --prefix order- --read-batch-size 5000", 1, nil, "/settings/readBatchSize"},

		{"subscriptions update reporting", 2, nil, "at least one setting"},
		{"subscriptions update reporting --prefix product-", 2, nil, "delete the group and create it anew"},
		{"subscriptions update reporting --max-retry-count many", 2, nil, ""},
		{"subscriptions update reporting --consumer-strategy Roulette", 1, nil, "/settings/consumerStrategy"},
		{"subscriptions update no_such_group --max-retry-count 9", 1, nil, "no_such_group"},
		{"subscriptions update reporting --max-retry-count 7", 0, []string{"these settings already"}, ""},
		{"subscriptions update reporting --max-retry-count 9 --message-timeout 1m", 0, []string{`maxRetryCount: 7 → 9`, `messageTimeoutMs: \d+ → 60000`, "Nothing was done"}, ""},
		{"subscriptions show reporting --json", 0, []string{`"maxRetryCount": 7`}, ""},
		{"subscriptions update account_statement --max-retry-count 9", 0, []string{`Careful: .*park an event by itself after 9 failures`}, ""},
		{"subscriptions update reporting --max-retry-count 9 --yes", 0, []string{`maxRetryCount +7 +9`}, ""},
		{"subscriptions update reporting --max-retry-count 10 --yes --json", 0, []string{`"maxRetryCount": 10`, `"changes": \[`}, ""},
		{"subscriptions show reporting --json", 0, []string{`"maxRetryCount": 10`}, ""},

		{"subscriptions reset account_statement --to start", 0, []string{"events delivered again, at most +1", "consumers +1", "Nothing was done"}, ""},
		{"subscriptions reset account_statement --to end --json", 0, []string{`"done": false`, `"plan": "[0-9a-f]{8}"`}, ""},
		{"subscriptions reset account_statement --to 18446744073709551615", 2, nil, "neither start, end"},
		{"subscriptions reset account_statement --to 99999999999 --yes", 1, nil, "no such position"},
		{"subscriptions reset reporting --to start", 1, nil, "does not tell"},
		{"subscriptions parked account_statement", 0, []string{"^AT +STREAM"}, ""},
		{"subscriptions replay-parked account_statement --limit -1", 2, nil, "below 0"},
		{"subscriptions delete reporting", 0, []string{"delete with checkpoint", "Nothing was done"}, ""},
		{"subscriptions delete reporting --plan 00000000", 1, nil, "have changed since plan 00000000"},
		{"subscriptions delete reporting --yes", 0, []string{"is gone"}, ""},
		{"subscriptions delete reporting --yes", 1, nil, "reporting"},
	})
	// The id of a plan agrees to that plan, and to no other.
	start, end := p.planOf("subscriptions reset account_statement --to start"), p.planOf("subscriptions reset account_statement --to end")
	p.walk([]step{
		{"subscriptions reset account_statement --to start --plan " + end, 1, []string{start}, "have changed"},
		{"subscriptions reset account_statement --to start --plan " + start, 0, []string{"starts again from start"}, ""},
		{"readmodels verify account_statement", 0, []string{"0 differing"}, ""},
	})
}

func (p *process) planOf(args string) string {
	p.t.Helper()
	var plan plan
	got := p.tidemark(append(strings.Fields(args), "--json")...)
	if err := json.Unmarshal([]byte(got.out), &plan); err != nil || plan.ID == "" {
		p.t.Fatalf("%s: %v\n%s%s", args, err, got.out, got.errs)
	}
	return plan.ID
}

// poison appends an event to a stream that no release knows.
func (p *process) poison(stream string, after int64) {
	p.t.Helper()
	p.spoilt = true
	store, err := esdb.Open(p.node, esdb.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = store.Close(p.t.Context()) }()
	if _, err := store.AppendRaw(p.t.Context(), stream, after, []codec.Raw{{ID: uuid.NewString(), Type: "StockBeamedUp", Data: []byte(`{}`), Metadata: []byte(`{"schemaVersion":1}`)}}); err != nil {
		p.t.Fatal(err)
	}
}

// An operator looks after read models: a poisoned stream is found, named and skipped on record, a read model
// rebuilt, switched, rolled back and its old generation dropped, and what was wrong is told with exit code 1.
func TestOperatorsLookAfterReadModels(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil)
	const skus = 20
	for i := range skus {
		p.receive(fmt.Sprintf("SKU-%d", i))
	}
	p.poison("inventory-SKU-7", 0)
	p.await("the poison to block its stream", func() bool {
		var m modelRow
		_, err := p.api.call(t.Context(), "GET", "/v1/ops/readmodels/stock_levels", nil, &m)
		return err == nil && m.Blocked == 1 && m.LagEvents == 0
	})
	p.receive("SKU-8")
	p.walk([]step{
		{"readmodels", 2, nil, "needs a subcommand"},
		{"readmodels show no_such_model", 1, nil, "no_such_model"},
		{"readmodels list", 0, []string{`^NAME +GENERATION`, `^stock_levels +1 +live`, `stock_levels: 1 stream is blocked.*tidemark readmodels blocked stock_levels`}, ""},
		{"readmodels list --json", 0, []string{`"name": "audit_log"`, `"nextCursor": null`}, ""},
		{"readmodels blocked stock_levels", 0, []string{`^inventory-SKU-7 +1 +StockBeamedUp +\d+ `}, ""},
		{"readmodels retry stock_levels", 2, nil, "name the streams, or --all"},
		{"readmodels retry stock_levels --all", 0, []string{`^healed +0$`}, ""},
		{"readmodels skip stock_levels --all", 0, []string{"streams +1$", "inventory-SKU-7 revision 1 StockBeamedUp", "Nothing was done"}, ""},
		{"readmodels skip stock_levels inventory-SKU-8", 0, []string{"streams +0$"}, ""},
		{"readmodels skip stock_levels --all --plan " + p.planOf("readmodels skip stock_levels --all"), 0, []string{`^healed +1$`}, ""},
		{"readmodels blocked audit_log", 0, []string{"inventory-SKU-7"}, ""},
		{"readmodels switch stock_levels", 0, []string{"none would", "Nothing was done"}, ""},
		{"readmodels switch stock_levels --yes", 1, nil, "not_ready"},
		{"readmodels rollback stock_levels --yes", 1, nil, "nothing_to_roll_back"},
		{"readmodels drop stock_levels --yes", 1, nil, "nothing_to_roll_back"},
		{"readmodels rebuild stock_levels", 0, []string{`0 differing`, "tidemark readmodels switch stock_levels --yes"}, ""},
		{"readmodels switch stock_levels", 0, []string{"documents and rows compared +41$", "of them different +0$", "generation 2 would"}, ""},
		{"readmodels switch stock_levels --yes", 0, []string{"serves from generation 2"}, ""},
		{"readmodels rollback stock_levels --yes", 0, []string{"serves from generation 1"}, ""},
		{"readmodels drop stock_levels", 0, []string{"Generation 1 serves and stays. Previous: generation 2"}, ""},
		{"readmodels drop stock_levels --yes --json", 0, []string{`"generation": 1`}, ""},
		{"readmodels jobs", 0, []string{`^JOB +KIND`, `rebuild +stock_levels +done`}, ""},
		{"readmodels cancel no-such-job", 1, nil, "no-such-job"},
		{"readmodels pause stock_levels", 0, []string{"stock_levels is paused"}, ""},
	})
	p.walk([]step{
		{"readmodels list", 0, []string{`^stock_levels +1 +paused`, `an operator paused it. tidemark readmodels resume stock_levels`}, ""},
		{"readmodels resume stock_levels --json", 0, []string{`"paused": false`}, ""},
		{"readmodels verify stock_levels order_board", 0, []string{`^stock_levels +41 checked +0 differing`, `^order_board `}, ""},
	})
	if code := p.interrupt(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.output())
	}
	p.spoil("stock_levels_1", "SKU-3", `"onHand":5`, `"onHand":6`)
	p.walk([]step{ // without a service the commands open the files themselves
		{"readmodels verify stock_levels", 1, []string{`1 differing`, `SKU-3 onHand: live 6, expected 5`}, ""},
		{"readmodels verify stock_levels --json", 1, []string{`"differing": 1`}, ""},
		{"readmodels rebuild stock_levels --switch", 0, []string{`1 differing`, `SKU-3 onHand: live 6, expected 5`}, ""},
		{"readmodels verify stock_levels", 0, []string{`0 differing`}, ""},
	})
}

func (p *process) receive(sku string) {
	p.t.Helper()
	if _, err := p.api.call(p.t.Context(), "POST", "/v1/inventory/"+sku+"/receipts", map[string]any{"quantity": 5}, nil); err != nil {
		p.t.Fatal(err)
	}
}

// spoil changes a document behind the back of a service that does not run.
func (p *process) spoil(collection, id, old, changed string) {
	p.t.Helper()
	store, err := sqlitedocs.Open(filepath.Join(p.data, documentsFile), sqlitedocs.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			p.t.Error(err)
		}
	}()
	found, err := store.Load(p.t.Context(), collection, []string{id})
	if err != nil || len(found) != 1 || !strings.Contains(string(found[0].Body), old) {
		p.t.Fatalf("%s %s: %+v, %v", collection, id, found, err)
	}
	found[0].Body = []byte(strings.Replace(string(found[0].Body), old, changed, 1))
	if err := store.Delete(p.t.Context(), collection, []string{id}); err != nil {
		p.t.Fatal(err)
	}
	if done, err := store.Write(p.t.Context(), collection, []readmodels.Put{{Document: found[0]}}); err != nil || !done[0] {
		p.t.Fatal(done, err)
	}
}

// The shell gets names to complete with, whatever the settings are.
func TestTheShellCompletes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		out  string
	}{
		{[]string{"completion", "bash"}, 0, "__start_tidemark"},
		{[]string{"completion", "zsh"}, 0, "#compdef tidemark"},
		{[]string{"completion", "fish"}, 0, "complete -c tidemark"},
		{[]string{"completion", "powershell"}, 0, "Register-ArgumentCompleter"},
		{[]string{"__complete", "readmodels", "re"}, 0, "rebuild\t"},
		{[]string{"__complete", "readmodels", "rebuild", ""}, 0, "stock_levels\n"},
		{[]string{"__complete", "subscriptions", "reset", "proc"}, 0, "process-fulfilment\n"},
		{[]string{"__complete", "subscriptions", "update", "fulfilment", "--consumer-strategy", ""}, 0, "DispatchToSingle\n"},
	} {
		if code, out, errs := runProgram(t, c.args, "TIDEMARK_SNAPSHOT_EVERY=nonsense"); code != c.code || !strings.Contains(out, c.out) {
			t.Errorf("tidemark %v ended with %d\n%.500s\n%.500s", c.args, code, out, errs)
		}
	}
}
