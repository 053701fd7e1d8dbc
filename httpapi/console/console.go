// Package console is the back office in a browser: static pages embedded in the program, with no build
// step, that use nothing but the public API. The token that a person enters stays in the page's memory.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var embedded embed.FS

type file struct {
	body        []byte
	contentType string
	etag        string
}

// Handler serves the console below /console. Unknown paths get the page itself, which has its own routes.
func Handler() http.Handler {
	files := map[string]file{}
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	err = fs.WalkDir(static, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(static, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		contentType := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".js" {
			contentType = "text/javascript; charset=utf-8"
		}
		files[name] = file{body, contentType, `"` + hex.EncodeToString(sum[:8]) + `"`}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/console"), "/")
		f, ok := files[name]
		if !ok {
			f = files["index.html"]
		}
		header := w.Header()
		header.Set("ETag", f.etag)
		header.Set("Cache-Control", "no-cache")
		if r.Header.Get("If-None-Match") == f.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		header.Set("Content-Type", f.contentType)
		_, _ = w.Write(f.body) // the reader has gone if this fails
	})
}
