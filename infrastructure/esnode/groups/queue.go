package groups

import "sort"

// queue is a slice with a moving head. Its zero value is empty.
type queue struct {
	items []*Message
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) push(m *Message) {
	q.compact()
	q.items = append(q.items, m)
}

func (q *queue) pop() *Message {
	m := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	return m
}

// unpop puts back the given messages, of those popped last, in their order.
func (q *queue) unpop(messages []*Message) {
	q.head -= len(messages)
	copy(q.items[q.head:], messages)
}

// insert keeps the queue in source order, behind its equals.
func (q *queue) insert(m *Message) {
	q.compact()
	at := q.head + sort.Search(q.len(), func(i int) bool { return q.items[q.head+i].Seq > m.Seq })
	q.items = append(q.items, nil)
	copy(q.items[at+1:], q.items[at:])
	q.items[at] = m
}

// compact reclaims the space before the head once it is most of the slice.
func (q *queue) compact() {
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 32 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}
