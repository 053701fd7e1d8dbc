package esnode

import (
	"bytes"
	"strconv"
)

// linkTarget reads "revision@stream", the data of a link. The stream's name may contain an @ as well.
func linkTarget(data []byte) (revision int64, stream string, ok bool) {
	before, after, found := bytes.Cut(data, []byte("@"))
	if !found || len(after) == 0 {
		return 0, "", false
	}
	revision, err := strconv.ParseInt(string(before), 10, 64)
	if err != nil || revision < 0 {
		return 0, "", false
	}
	return revision, string(after), true
}

func linkTo(revision int64, stream string) []byte {
	return append(strconv.AppendInt(nil, revision, 10), "@"+stream...)
}
