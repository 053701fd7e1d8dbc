package application

import (
	"math"
	"time"

	"github.com/maypok86/otter/v2"
)

// cache keeps hot aggregates in memory, by stream. What it gives is only a place to start from: other
// processes write too, so a cached state may be old. It is never wrong, though, because streams only
// grow; the expected revision of an append, or reading on from it, shows what is missing.
type cache struct {
	entries *otter.Cache[string, cached] // nil: no cache
}

type cached struct {
	loaded   any // Loaded[S]
	revision int64
	weight   uint32
}

// overhead is roughly what an entry holds beside its state: metadata, names, the table's own.
const overhead = 1024

func newCache(bytes int64) *cache {
	if bytes < 0 {
		return &cache{}
	}
	return &cache{entries: otter.Must(&otter.Options[string, cached]{
		MaximumWeight: uint64(bytes),
		Weigher:       func(_ string, entry cached) uint32 { return entry.weight },
	})}
}

func (c *cache) drop(stream string) {
	if c.entries != nil {
		c.entries.Invalidate(stream)
	}
}

// change replaces what is remembered of stream, if anything is.
func (c *cache) change(stream string, with func(cached) cached) {
	if c.entries == nil {
		return
	}
	c.entries.ComputeIfPresent(stream, func(entry cached) (cached, otter.ComputeOp) {
		return with(entry), otter.WriteOp
	})
}

// cacheGet gives the newest state of stream that this process remembers.
func cacheGet[S any](c *cache, stream string) (Loaded[S], bool) {
	if c.entries == nil {
		return Loaded[S]{}, false
	}
	entry, ok := c.entries.GetIfPresent(stream)
	if !ok {
		return Loaded[S]{}, false
	}
	loaded, ok := entry.loaded.(Loaded[S])
	loaded.events = 0
	return loaded, ok
}

// hotFor is how long a cached state may be decided on without a look at the stream.
const hotFor = time.Second

// contendedFor is how long a process takes a stream for one that others write, too.
const contendedFor = 2 * time.Second

// hot tells that deciding on the cached state at once is worth the risk of a conflict: this process has
// just had it in hand and nobody else writes to the stream.
func (l Loaded[S]) hot() bool { return !l.contended() && time.Since(l.touched) < hotFor }

func (l Loaded[S]) contended() bool {
	return !l.foreign.IsZero() && time.Since(l.foreign) < contendedFor
}

// cachePut remembers loaded unless a newer state is there.
func cachePut[S any](c *cache, aggregate *Aggregate[S], loaded Loaded[S]) {
	if c.entries == nil || !loaded.Exists() {
		return
	}
	if entry, ok := c.entries.GetIfPresent(loaded.Stream); ok && entry.revision > loaded.Revision {
		return
	}
	weight := overhead + 24*(len(loaded.commands.base)+len(loaded.commands.tail))
	if aggregate.Weigh != nil {
		weight += aggregate.Weigh(loaded.State)
	}
	c.entries.Set(loaded.Stream, cached{
		loaded: loaded, revision: loaded.Revision,
		weight: uint32(min(int64(weight), math.MaxUint32)),
	})
}
