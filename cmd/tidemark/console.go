package main

import (
	"net/http"

	"github.com/tidemark-dev/tidemark/httpapi/console"
)

// consoleHandler is the back office in a browser.
func consoleHandler() http.Handler { return console.Handler() }
