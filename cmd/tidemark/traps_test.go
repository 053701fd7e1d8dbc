package main

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEachTrapOfTheArticleHasItsTest: the samples of the article that this service started from fail in these ways.
// Each is held by a test of the package in which it would happen.
func TestEachTrapOfTheArticleHasItsTest(t *testing.T) {
	for _, trap := range []struct{ trap, file, test string }{
		{"append without expected revision", "application/execute_test.go", "TestConflictsAreRetriedThenGivenUp"},
		{"append without expected revision", "infrastructure/esdb/node_test.go", "TestTheStoreOnTheEmbeddedNode"},
		{"processed ids in memory, pruned", "readmodels/redelivered_test.go", "TestHistoryThatComesAgainAddsNothing"},
		{"$inc on replay", "readmodels/redelivered_test.go", "TestHistoryThatComesAgainAddsNothing"},
		{"upsert that sets created again on a late event", "readmodels/redelivered_test.go", "TestALateCreationUndoesNothing"},
		{"price chosen by the buyer", "cmd/tidemark/edge_ownership_test.go", "TestCustomersDoNotChoosePrices"},
		{"confirm demands a status that nothing sets", "domain/order/order_test.go", "TestEveryDecisionInEveryStatus"},
		{"snapshot rule true at version 0 and skipped by batches", "application/snapshots_test.go", "TestASnapshotIsTakenWhereAMultipleIsPassed"},
		{"snapshot plus wrong slice of events", "application/snapshots_test.go", "TestALoadFoldsExactlyWhatTheSnapshotLacks"},
		{"rebuild that empties the screen", "readmodels/rebuild_test.go", "TestReadersSeeNoHole"},
		{"mark-as-processed in another place than the write", "readmodels/redelivered_test.go", "TestAWorkerKilledAtAWriteLosesAndDoublesNothing"},
		{"unknown event types swallowed", "readmodels/blocked_test.go", "TestPoisonBlocksItsStreamOnly"},
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(trap.file)))
		if err != nil || !strings.Contains(string(text), "\nfunc "+trap.test+"(") {
			t.Errorf("%s: %s has no %s any more (%v)", trap.trap, trap.file, trap.test, err)
		}
	}
}

// TestTestsThatAreNamedExist: what the page about the architecture says is held by a test has one.
func TestTestsThatAreNamedExist(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, file := range sources(t) {
		for _, declaration := range file.syntax.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && file.test {
				there[function.Name.Name] = true
			}
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 10 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, name := range named {
		if !there[name[1]] {
			t.Errorf("there is no %s", name[1])
		}
	}
}
