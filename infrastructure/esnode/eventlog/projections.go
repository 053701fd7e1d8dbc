package eventlog

import "context"

var builtIn = map[string]string{}

type projection struct{}

func (l *ledger) loadProjections([]string) error { return nil }
func (l *ledger) behind() bool                   { return false }
func (l *ledger) catchUp() error                 { return nil }
func (l *ledger) project() error                 { return nil }
func (l *Log) publishProjections()               {}

func (l *Log) Projections() []ProjectionState                                 { panic("soon") }
func (l *Log) EnableProjection(ctx context.Context, name string) error        { panic("soon") }
func (l *Log) DisableProjection(ctx context.Context, name string) error       { panic("soon") }
func (l *Log) ResetProjection(ctx context.Context, name string) error         { panic("soon") }
func (l *Log) UpdateProjection(ctx context.Context, name, query string) error { panic("soon") }

func (l *Log) Scavenge(ctx context.Context) (ScavengeResult, error) { panic("soon") }
