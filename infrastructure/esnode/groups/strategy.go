package groups

type (
	// Strategy names how messages are spread over consumers.
	Strategy string

	// strategy chooses among consumers with free slots; nil if none may take the message now.
	strategy interface {
		join(*consumer)
		leave(*consumer)
		choose(*Message) *consumer
		started(*Message)
		ended(*Message)
	}
)

// The strategies, named as on the wire.
const (
	RoundRobin          Strategy = "RoundRobin"
	DispatchToSingle    Strategy = "DispatchToSingle"
	Pinned              Strategy = "Pinned"
	PinnedByCorrelation Strategy = "PinnedByCorrelation"
)

// Known says whether there is such a strategy.
func (s Strategy) Known() bool {
	return s == RoundRobin || s == DispatchToSingle || s == Pinned || s == PinnedByCorrelation
}

func newStrategy(s Strategy, g *Group) strategy {
	switch s {
	case DispatchToSingle:
		return &circle{}
	case Pinned, PinnedByCorrelation:
		return &pinned{group: g}
	default:
		return &circle{rotate: true}
	}
}

// circle is the queue of consumers of RoundRobin, which moves on after each message, and of
// DispatchToSingle, which moves on only from a full consumer.
type circle struct {
	rotate bool
	ring   []*consumer
	at     int
}

func (s *circle) join(c *consumer) {
	// The newcomer is last in the queue, which begins at s.at.
	s.ring = append(s.ring, nil)
	copy(s.ring[s.at+1:], s.ring[s.at:])
	s.ring[s.at] = c
	s.at = (s.at + 1) % len(s.ring)
}

func (s *circle) leave(c *consumer) {
	for i, other := range s.ring {
		if other != c {
			continue
		}
		s.ring = append(s.ring[:i], s.ring[i+1:]...)
		if i < s.at {
			s.at--
		}
		if s.at >= len(s.ring) {
			s.at = 0
		}
		return
	}
}

func (s *circle) choose(*Message) *consumer {
	for range s.ring {
		c := s.ring[s.at]
		free := c.free() > 0
		if s.rotate || !free {
			s.at = (s.at + 1) % len(s.ring)
		}
		if free {
			return c
		}
	}
	return nil
}

func (*circle) started(*Message) {}
func (*circle) ended(*Message)   {}
