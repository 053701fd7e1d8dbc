package readmodels_test

import (
	"testing"

	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// The documents of a question about the past keep the contract of the stores, so that the screens'
// queries mean the same there.
func TestMemoryKeepsTheContract(t *testing.T) {
	documentstest.Run(t, func(*testing.T) readmodels.Documents { return readmodels.NewMemory() })
}
