package httpapi

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// standInGroups has one group, "orders", with two parked events.
type standInGroups struct{}

func (standInGroups) group(name string) (domain.GroupInfo, error) {
	if name != "orders" && name != "reporting" {
		return domain.GroupInfo{}, domain.NotFound("group", name)
	}
	return domain.GroupInfo{Group: name, Stream: "$all", Status: "Live", Position: "1200", LastKnown: "1200", Consumers: 1, Parked: 2, Prefixes: []string{"order-"},
		Settings: domain.GroupSettings{ConsumerStrategy: "Pinned", MessageTimeoutMs: 30_000, MaxRetryCount: 1 << 30, CheckpointAfterMs: 1000, MinCheckpointCount: 1,
			MaxCheckpointCount: 1000, LiveBufferSize: 2000, ReadBatchSize: 200, HistoryBufferSize: 2000}}, nil
}

func (g standInGroups) List(context.Context) ([]domain.GroupInfo, error) {
	var all []domain.GroupInfo
	for _, name := range []string{"orders", "reporting"} {
		info, err := g.group(name)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, nil
}

func (g standInGroups) Info(_ context.Context, name string) (domain.GroupInfo, error) {
	return g.group(name)
}

func (standInGroups) Create(context.Context, domain.Group, domain.From) error { return nil }

func (standInGroups) Update(context.Context, string, domain.GroupChange) error { return nil }

func (standInGroups) Delete(context.Context, string) error { return nil }

func (standInGroups) Reset(context.Context, domain.Group, domain.From) error { return nil }

func (g standInGroups) Parked(_ context.Context, name string, _ int) ([]domain.Parked, error) {
	if _, err := g.group(name); err != nil {
		return nil, err
	}
	return []domain.Parked{{ID: "e-1", Stream: "order-1", Revision: 1, Type: "OrderConfirmed", Reason: "not ours", At: someTime}, {ID: "e-2", Stream: "order-2", Revision: 0, Type: "OrderCreated"}}, nil
}

func (g standInGroups) ReplayParked(_ context.Context, name string, _ int) error {
	_, err := g.group(name)
	return err
}

// standInModels has one read model, "orders", with nothing wrong.
type standInModels struct{}

func (standInModels) model(name string) (readmodels.ReadModel, error) {
	if name != "orders" {
		return readmodels.ReadModel{}, domain.NotFound("read model", name)
	}
	return readmodels.ReadModel{Name: name, Generation: 1, State: readmodels.StateLive, UpdatedAt: readmodels.Stamp(someTime)}, nil
}

func (m standInModels) List(context.Context) ([]readmodels.ReadModel, error) {
	one, err := m.model("orders")
	return []readmodels.ReadModel{one}, err
}

func (m standInModels) Show(_ context.Context, name string) (readmodels.ReadModel, error) {
	return m.model(name)
}

func (m standInModels) Blocked(_ context.Context, name string, _ int) ([]readmodels.Blocked, error) {
	_, err := m.model(name)
	return []readmodels.Blocked{}, err
}

func (m standInModels) Retry(_ context.Context, name string, _ []string) (readmodels.Retried, error) {
	_, err := m.model(name)
	return readmodels.Retried{Blocked: []readmodels.Blocked{}}, err
}

func (m standInModels) Skip(_ context.Context, name string, _ []string, _ string) (readmodels.Retried, error) {
	_, err := m.model(name)
	return readmodels.Retried{Blocked: []readmodels.Blocked{}}, err
}

func (m standInModels) job(kind, name string) (readmodels.Job, error) {
	_, err := m.model(name)
	return readmodels.Job{ID: someJob, Kind: kind, Target: name, State: readmodels.JobRunning, CreatedAt: readmodels.Stamp(someTime), Beat: 1, Cancelled: true}, err
}

func (m standInModels) Rebuild(_ context.Context, name, _ string, _ bool) (readmodels.Job, error) {
	return m.job("rebuild", name)
}

func (m standInModels) Switch(_ context.Context, name, _ string) (readmodels.Job, error) {
	return m.job("switch", name)
}

func (m standInModels) Rollback(_ context.Context, name, _ string) (readmodels.Job, error) {
	return m.job("rollback", name)
}

func (m standInModels) Verify(_ context.Context, name, _ string) (readmodels.Job, error) {
	return m.job("verify", name)
}

func (m standInModels) Pause(_ context.Context, name, _ string) (readmodels.Job, error) {
	return m.job("pause", name)
}

func (m standInModels) Resume(_ context.Context, name, _ string) (readmodels.Job, error) {
	return m.job("resume", name)
}

func (m standInModels) Drop(_ context.Context, name, _ string) (readmodels.Job, error) {
	return m.job("drop", name)
}

func (m standInModels) Job(_ context.Context, id string) (readmodels.Job, error) {
	if id != someJob {
		return readmodels.Job{}, domain.NotFound("job", id)
	}
	return m.job("rebuild", "orders")
}

func (m standInModels) Jobs(context.Context, int) ([]readmodels.Job, error) {
	job, err := m.job("rebuild", "orders")
	return []readmodels.Job{job}, err
}

func (m standInModels) CancelJob(ctx context.Context, id string) (readmodels.Job, error) {
	return m.Job(ctx, id)
}

// lines is a log in memory.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
