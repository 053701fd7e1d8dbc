package esdb

import (
	"context"
	"log/slog"
	"time"
)

// nagEvery is how often the log is told of a failure that goes on.
const nagEvery = time.Minute

// nagging tells the log of a failure that comes again and again: the first time, and then once in a while with how
// many there were meanwhile. Each of them is there at the level debug. An outage would fill the log otherwise, with a
// line a second from every subscription. It is for one goroutine.
type nagging struct {
	told   time.Time // when it was last told of; zero: never
	silent int       // how often it was not, since then
}

func (n *nagging) warn(log *slog.Logger, message string, attrs ...any) {
	if now := time.Now(); n.told.IsZero() || now.Sub(n.told) >= nagEvery {
		if n.silent > 0 {
			attrs = append(attrs, "repeated", n.silent)
		}
		n.told, n.silent = now, 0
		log.Warn(message, attrs...)
		return
	}
	n.silent++
	log.Log(context.Background(), slog.LevelDebug, message, attrs...)
}
