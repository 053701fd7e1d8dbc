package httpapi

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"path"

	"github.com/labstack/echo/v4"
)

//go:embed docs
var docs embed.FS

var errorPages = template.Must(template.ParseFS(docs, "docs/errors.html"))

// pagePolicy lets pages load what comes from here and nothing else. Swagger UI sets styles on elements
// and draws its icons from data URLs.
const pagePolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// pages serves what people open in a browser: the documentation, which works offline, the document
// itself, and the console.
func (s *Server) pages(e *echo.Echo) {
	get := func(path string, serve echo.HandlerFunc) {
		e.GET(path, serve)
		e.HEAD(path, serve)
	}
	get("/openapi.json", file(echo.MIMEApplicationJSON, s.document.json))
	get("/openapi.yaml", file("application/yaml", s.document.yaml))
	for name, mediaType := range map[string]string{
		"index.html": "text/html; charset=utf-8", "start.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8",
		"swagger-ui/swagger-ui-bundle.js": "text/javascript; charset=utf-8", "swagger-ui/swagger-ui.css": "text/css; charset=utf-8",
		"swagger-ui/favicon-32x32.png": "image/png", "swagger-ui/LICENSE": "text/plain; charset=utf-8",
	} {
		content, err := docs.ReadFile("docs/" + name)
		if err != nil {
			continue // the names are held against the files by a test
		}
		at := "/docs/" + path.Base(name)
		if name == "index.html" {
			at = "/docs"
		}
		get(at, asPage(file(mediaType, content)))
	}
	get("/docs/errors", asPage(errorIndex))
	get("/docs/errors/:code", asPage(errorPage))
	if s.options.Console != nil {
		console := asPage(echo.WrapHandler(s.options.Console))
		get("/", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/console") })
		get("/console", console)
		get("/console/*", console)
	}
}

// asPage widens the content policy to what a page of ours needs.
func asPage(serve echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Content-Security-Policy", pagePolicy)
		return serve(c)
	}
}

// errorText is a code as its page shows it.
type errorText struct {
	Code, Title, Help string
	Status            int
	Retry             bool
	All               []errorText
}

func textOf(code string) errorText {
	e := catalogue[code]
	return errorText{Code: code, Title: e.title, Help: e.help, Status: e.status, Retry: e.retry > 0}
}

func errorIndex(c echo.Context) error {
	index := errorText{Title: "Error codes"}
	for _, code := range codes() {
		index.All = append(index.All, textOf(code))
	}
	return writeErrorPage(c, index)
}

func errorPage(c echo.Context) error {
	code := c.Param("code")
	if _, known := catalogue[code]; !known {
		return fail("not_found", "There is no such code.")
	}
	return writeErrorPage(c, textOf(code))
}

func writeErrorPage(c echo.Context, text errorText) error {
	var b bytes.Buffer
	if err := errorPages.Execute(&b, text); err != nil {
		return err
	}
	return c.HTMLBlob(http.StatusOK, b.Bytes())
}
