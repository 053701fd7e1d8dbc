package sqlitedocs

import (
	"path/filepath"
	"testing"

	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

func open(t testing.TB, path string, options Options) *Store {
	t.Helper()
	store, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}

func TestContract(t *testing.T) {
	documentstest.Run(t, func(t *testing.T) readmodels.Documents {
		return open(t, filepath.Join(t.TempDir(), "documents.db"), Options{})
	})
}
