package codec

import (
	"bytes"
	"encoding/json"

	"github.com/tidemark-dev/tidemark/domain"
)

// Most of a snapshot is one long string, the commands that it remembers, and every load of a long stream
// reads one. snapshotTaken takes that string out and leaves only the rest to encoding/json, which looks
// at each byte twice. It answers only for data laid out as Encode writes it; a test holds that it then
// says what encoding/json says.
func snapshotTaken(data []byte) (event domain.Event, ok bool) {
	begin := bytes.Index(data, commandsKey)
	if begin < 0 {
		return nil, false
	}
	begin += len(commandsKey)
	length := bytes.IndexByte(data[begin:], '"')
	if length < 0 || bytes.Contains(data, takenOut) {
		return nil, false
	}
	commands := string(data[begin : begin+length])
	for i := range len(commands) {
		if !plainBytes[commands[i]] {
			return nil, false
		}
	}
	rest := make([]byte, 0, len(data)-length+len(takenOut))
	rest = append(append(append(rest, data[:begin]...), takenOut...), data[begin+length:]...)
	var snapshot domain.SnapshotTaken
	if json.Unmarshal(rest, &snapshot) != nil || snapshot.Commands != string(takenOut) {
		return nil, false // broken, or the key is an inner object's, or comes again
	}
	snapshot.Commands = commands
	return snapshot, true
}

var commandsKey = []byte(`,"commands":"`)

// takenOut stands for the commands while the rest is read. Found in their place, it was put there.
var takenOut = []byte("(taken out)")
