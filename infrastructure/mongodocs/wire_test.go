package mongodocs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// wire stands between the driver and a server and does to single commands what networks and elections do. It
// understands as much of the protocol as that needs: OP_MSG with one body, and what the driver greets a server with.
type wire struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu     sync.Mutex
	script func(command string, body bson.Raw) fate
	seen   map[string]int
	conns  map[net.Conn]struct{}
}

// fate is what becomes of a command; the zero value lets it pass.
type fate struct {
	cut    bool            // the connection ends before the server hears of it
	lost   bool            // the connection ends after the server has done it
	answer bson.D          // the server hears nothing, and this is the answer
	amend  bson.D          // the server does it; this is put into the answer
	wait   <-chan struct{} // everything happens only after this
}

const (
	opMsg      = 2013
	opQuery    = 2004 // how the driver greets a server that it doesn't know
	opReply    = 1
	headerSize = 16
)

// openWire listens on a port of its own and gives the URI to use.
func openWire(t *testing.T, server string) (*wire, string) {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, server: target.Host, seen: map[string]int{}, conns: map[net.Conn]struct{}{}}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		w.mu.Lock()
		for conn := range w.conns {
			_ = conn.Close()
		}
		w.mu.Unlock()
		w.running.Wait()
	})
	return w, "mongodb://" + listener.Addr().String() + "/"
}

// play sets what becomes of the commands from now on and forgets the counts.
func (w *wire) play(script func(command string, body bson.Raw) fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.script = script
	clear(w.seen)
}

// count is how often a command came by since the last play.
func (w *wire) count(command string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[command]
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.conns[client], w.conns[server] = struct{}{}, struct{}{}
		w.mu.Unlock()
		w.running.Go(func() {
			w.serve(client, server)
			_, _ = client.Close(), server.Close()
			w.mu.Lock()
			delete(w.conns, client)
			delete(w.conns, server)
			w.mu.Unlock()
		})
	}
}

// serve handles one connection: a command, its answer, the next command.
func (w *wire) serve(client, server net.Conn) {
	for {
		request, err := readMessage(client)
		if err != nil {
			return
		}
		name, body := commandOf(request)
		doom := w.decide(name, body)
		if doom.wait != nil {
			<-doom.wait
		}
		switch {
		case doom.cut:
			return
		case doom.answer != nil:
			if writeAnswer(client, request, doom.answer) != nil {
				return
			}
			continue
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		answer, err := readMessage(server)
		if err != nil || doom.lost {
			return
		}
		if doom.amend != nil {
			_, whole := commandOf(answer)
			var fields bson.D
			if err := bson.Unmarshal(whole, &fields); err != nil || writeAnswer(client, request, amended(fields, doom.amend)) != nil {
				return
			}
			continue
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

func (w *wire) decide(name string, body bson.Raw) fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[name]++
	if w.script == nil || name == "" {
		return fate{}
	}
	return w.script(name, body)
}

func readMessage(conn net.Conn) ([]byte, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(conn, header); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(header)
	if length < headerSize || length > 64<<20 {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	message := append(header, make([]byte, length-headerSize)...)
	_, err := io.ReadFull(conn, message[headerSize:])
	return message, err
}

// commandOf gives the name of a command and its body; none for messages of other kinds.
func commandOf(message []byte) (string, bson.Raw) {
	switch opcode := binary.LittleEndian.Uint32(message[12:]); opcode {
	case opMsg:
		for at := headerSize + 4; at < len(message); { // behind the flags: sections
			kind, size := message[at], int(binary.LittleEndian.Uint32(message[at+1:]))
			if kind == 0 {
				return named(message[at+1 : at+1+size])
			}
			at += 1 + size
		}
	case opQuery: // flags, collection, skip, return, document
		at := headerSize + 4
		return named(message[at+bytes.IndexByte(message[at:], 0)+1+8:])
	case opReply: // flags, cursor, from, count, document
		return named(message[headerSize+20:])
	}
	return "", nil
}

func named(body bson.Raw) (string, bson.Raw) {
	first, err := body.IndexErr(0)
	if err != nil {
		return "", nil
	}
	return first.Key(), body
}

// amended puts fields into an answer, in place of those of the same name.
func amended(answer, amend bson.D) bson.D {
	answer = slices.DeleteFunc(answer, func(e bson.E) bool {
		return slices.ContainsFunc(amend, func(a bson.E) bool { return a.Key == e.Key })
	})
	return append(answer, amend...)
}

func writeAnswer(conn net.Conn, request []byte, answer bson.D) error {
	body, err := bson.Marshal(answer)
	if err != nil {
		return err
	}
	opcode, between := uint32(opMsg), make([]byte, 5)
	if binary.LittleEndian.Uint32(request[12:]) == opQuery {
		opcode, between = opReply, make([]byte, 20)
		between[16] = 1
	}
	message := make([]byte, headerSize, headerSize+len(between)+len(body))
	binary.LittleEndian.PutUint32(message, uint32(headerSize+len(between)+len(body)))
	copy(message[8:12], request[4:8]) // in answer to
	binary.LittleEndian.PutUint32(message[12:], opcode)
	_, err = conn.Write(slices.Concat(message, between, body))
	return err
}

// times gives a fate to the first n commands of a name.
func times(n int, command string, doom fate) func(string, bson.Raw) fate {
	return func(name string, _ bson.Raw) fate {
		if name == command && n > 0 {
			n--
			return doom
		}
		return fate{}
	}
}

// steppedDown is how a server answers that is no primary any more.
var steppedDown = bson.D{
	{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: "not primary"}, {Key: "code", Value: int32(10107)}, {Key: "codeName", Value: "NotWritablePrimary"},
}

func TestWireReachesTheServer(t *testing.T) {
	w, uri := openWire(t, ferretURI(t))
	store := open(t, uri, Options{})
	w.play(nil)
	if err := store.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.count("ping") != 1 {
		t.Fatalf("the wire saw %v", w.seen)
	}
	_ = w.listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("want the context's error, have %v", err)
	}
}
