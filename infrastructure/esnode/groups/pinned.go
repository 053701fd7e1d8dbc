package groups

// buckets is how many parts the keys are hashed into.
const buckets = 1024

// pinned keeps the messages of a bucket with one consumer as long as it is connected.
type pinned struct {
	group    *Group
	owner    [buckets]*consumer
	inFlight [buckets]int
}

func bucketOf(m *Message) int { return int(m.Key % buckets) }

func (s *pinned) choose(m *Message) *consumer {
	b := bucketOf(m)
	if s.owner[b] == nil {
		c := s.poorest()
		if c == nil {
			return nil
		}
		s.owner[b] = c
		c.buckets++
	}
	if c := s.owner[b]; c.free() > 0 {
		return c
	}
	return nil
}

func (s *pinned) poorest() *consumer {
	var least *consumer
	for _, c := range s.group.consumers {
		if least == nil || c.buckets < least.buckets {
			least = c
		}
	}
	return least
}

// join takes from consumers that hold more than their share, first what they have nothing in flight of.
func (s *pinned) join(newcomer *consumer) {
	assigned, consumers := 0, len(s.group.consumers)
	for _, c := range s.group.consumers {
		assigned += c.buckets
	}
	share := (assigned + consumers - 1) / consumers
	for _, idle := range []bool{true, false} {
		for b, c := range s.owner {
			if c == nil || c == newcomer || c.buckets <= share || idle != (s.inFlight[b] == 0) {
				continue
			}
			c.buckets--
			newcomer.buckets++
			s.owner[b] = newcomer
		}
	}
}

func (s *pinned) leave(gone *consumer) {
	for b, c := range s.owner {
		if c == gone {
			s.owner[b] = nil
		}
	}
}

func (s *pinned) started(m *Message) { s.inFlight[bucketOf(m)]++ }
func (s *pinned) ended(m *Message)   { s.inFlight[bucketOf(m)]-- }
