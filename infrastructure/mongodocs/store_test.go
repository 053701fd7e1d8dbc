package mongodocs

import (
	"os"
	"testing"

	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

func TestContractOverTheWire(t *testing.T) {
	documentstest.Run(t, func(t *testing.T) readmodels.Documents { return open(t, ferretURI(t), Options{}) })
}

// TestContractOnMongoDB needs a server: TIDEMARK_TEST_MONGODB=mongodb://127.0.0.1:27017/?directConnection=true.
func TestContractOnMongoDB(t *testing.T) {
	uri := os.Getenv("TIDEMARK_TEST_MONGODB")
	if uri == "" {
		t.Skip("TIDEMARK_TEST_MONGODB is not set")
	}
	for name, options := range map[string]Options{"primary": {}, "secondaries": {SecondaryReads: true}, "small batches": {Batch: 7}} {
		t.Run(name, func(t *testing.T) {
			documentstest.Run(t, func(t *testing.T) readmodels.Documents { return open(t, uri, options) })
		})
	}
}
