package baseline

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// Append implements streams.StreamsServer: it believes the expected revision and answers as if it had held.
func (s *Server) Append(call streams.Streams_AppendServer) error {
	var options *streams.AppendReq_Options
	var data []byte
	events := uint64(0)
	for {
		req, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if m := req.GetProposedMessage(); m != nil {
			data = append(append(data, m.GetData()...), m.GetCustomMetadata()...)
			events++
		} else {
			options = req.GetOptions()
		}
	}
	position, err := s.journal.write(data)
	if err != nil {
		return err
	}
	revision := events - 1
	if at, ok := options.GetExpectedStreamRevision().(*streams.AppendReq_Options_Revision); ok {
		revision = at.Revision + events
	}
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: revision},
		PositionOption: &streams.AppendResp_Success_Position{
			Position: &streams.AppendResp_Position{CommitPosition: position, PreparePosition: position}},
	}}})
}

const (
	journalSize = 16 << 20 // bytes; then it begins again
	waiting     = 1024     // appends that can wait for the next sync
)

var errClosed = errors.New("baseline: closed")

// journal writes what it is given to a file, one sync for all that wait. The file has its size from the
// start and is overwritten again and again: that is the quickest that a sync can be, because no
// metadata of the file changes with it.
type journal struct {
	file   *os.File
	queue  chan entry
	ended  chan struct{}
	once   sync.Once
	offset int64
}

type entry struct {
	data []byte
	done chan outcome
}

type outcome struct {
	position uint64
	err      error
}

func openJournal(path string) (*journal, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if _, err = file.Write(make([]byte, journalSize)); err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &journal{file: file, queue: make(chan entry, waiting), ended: make(chan struct{})}, nil
}

// write returns when data is on disk.
func (j *journal) write(data []byte) (position uint64, err error) {
	e := entry{data: data, done: make(chan outcome, 1)}
	select {
	case j.queue <- e:
	case <-j.ended:
		return 0, errClosed
	}
	select {
	case o := <-e.done:
		return o.position, o.err
	case <-j.ended:
		return 0, errClosed
	}
}

func (j *journal) stop() { j.once.Do(func() { close(j.ended) }) }

// run writes group after group until stop.
func (j *journal) run() {
	var group []entry
	var data []byte
	position := uint64(0)
	for {
		group, data = group[:0], data[:0]
		select {
		case e := <-j.queue:
			group = append(group, e)
		case <-j.ended:
			return
		}
		for more := true; more && len(group) < waiting; {
			select {
			case e := <-j.queue:
				group = append(group, e)
			default:
				more = false
			}
		}
		for _, e := range group {
			data = append(data, e.data...)
		}
		err := j.commit(data)
		for _, e := range group {
			position++
			e.done <- outcome{position, err}
		}
	}
}

func (j *journal) commit(data []byte) error {
	if j.offset+int64(len(data)) > journalSize {
		j.offset = 0
	}
	n, err := j.file.WriteAt(data, j.offset)
	j.offset += int64(n)
	if err != nil {
		return err
	}
	return syncData(j.file)
}
