package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/tidemark-dev/tidemark/infrastructure/mongodocs"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// ferretURI starts FerretDB in this process, for one test; nothing but tests links it.
func ferretURI(t *testing.T) string {
	t.Helper()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Handler:   "sqlite",
		SQLiteURL: "file:" + t.TempDir() + "/?_pragma=synchronous(off)", // what it stores need not outlive the test
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server.MongoDBURI()
}

var mongoDatabases atomic.Int64

// mongoDocuments opens an empty database of a server, which is dropped in the end.
func mongoDocuments(t *testing.T, uri string) readmodels.Documents {
	t.Helper()
	name := fmt.Sprintf("tidemark_proof_%d_%d", os.Getpid(), mongoDatabases.Add(1))
	store, err := mongodocs.Open(t.Context(), uri, mongodocs.Options{Database: name, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		client, err := mongo.Connect(options.Client().ApplyURI(uri))
		if err == nil {
			err = client.Database(name).Drop(context.Background())
		}
		if err != nil {
			t.Errorf("drop database: %v", err)
			return
		}
		_ = client.Disconnect(context.Background())
	})
	return store
}

// The proof over FerretDB is small: it is slow, and what makes up for its gaps holds for one store at a time.
func TestReadModelsEndInTheSameBytesOverTheWireProtocol(t *testing.T) {
	t.Parallel()
	uri := ferretURI(t)
	proveSameBytes(t, proof{events: 120, workers: []int{1, 4, 16}, documents: func(t *testing.T, _ *readWorld) readmodels.Documents { return mongoDocuments(t, uri) }})
}

// TestReadModelsEndInTheSameBytesOnMongoDB needs a server: TIDEMARK_TEST_MONGODB=mongodb://127.0.0.1:27017/?directConnection=true.
func TestReadModelsEndInTheSameBytesOnMongoDB(t *testing.T) {
	uri := os.Getenv("TIDEMARK_TEST_MONGODB")
	if uri == "" {
		t.Skip("TIDEMARK_TEST_MONGODB is not set")
	}
	proveSameBytes(t, proof{events: 250, workers: []int{1, 4, 16}, documents: func(t *testing.T, _ *readWorld) readmodels.Documents { return mongoDocuments(t, uri) }})
}
