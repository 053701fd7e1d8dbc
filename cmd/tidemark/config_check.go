package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/httpapi"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/mongodocs"
)

// check finds values that have the right type and can't work. Each error is one line that begins with the variable.
func (c Config) check() []error {
	var problems []error
	complain := func(env, value, why string) { problems = append(problems, wrong(envPrefix+"_"+env, value, why)) }
	for env, addr := range map[string]string{"HTTP_ADDR": c.HTTPAddr, "ADMIN_ADDR": c.AdminAddr, "NODE_ADDR": c.NodeAddr} {
		if addr == "" && env == "ADMIN_ADDR" || addr == "off" && env == "NODE_ADDR" {
			continue
		}
		if _, port, err := net.SplitHostPort(addr); err != nil || !isPort(port) {
			complain(env, addr, "is no host:port")
		}
	}
	if !oneOf(c.DocumentsSecondaryReads, "on", "off") {
		complain("DOCUMENTS_SECONDARY_READS", c.DocumentsSecondaryReads, "is neither on nor off")
	}
	if c.SnapshotEvery < 0 {
		complain("SNAPSHOT_EVERY", fmt.Sprint(c.SnapshotEvery), "is below 0")
	}
	for env, d := range map[string]time.Duration{"ORDER_OPEN_FOR": c.OrderOpenFor, "PREPARE_WITHIN": c.PrepareWithin, "REQUEST_TIMEOUT": c.RequestTimeout} {
		if d <= 0 {
			complain(env, d.String(), "is not above 0")
		}
	}
	if c.LowStock < 0 {
		complain("LOW_STOCK", fmt.Sprint(c.LowStock), "is below 0")
	}
	if _, err := c.rateLimit(); err != nil {
		complain("RATE_LIMIT", c.RateLimit, "is neither off nor a number above 0")
	}
	if !oneOf(c.LogLevel, "debug", "info", "warn", "error") {
		complain("LOG_LEVEL", c.LogLevel, "is none of debug, info, warn, error")
	}
	if !oneOf(c.LogFormat, "", "text", "json") {
		complain("LOG_FORMAT", c.LogFormat, "is neither text nor json")
	}
	if _, err := url.Parse(c.API); c.API != "" && (err != nil || !hasScheme(c.API, "http", "https")) {
		complain("API", redact(c.API), "is no http:// or https:// URL")
	}
	return append(append(problems, c.checkStores()...), c.checkCallers()...)
}

// checkStores reads the connection strings; whether somebody answers there is found out later.
func (c Config) checkStores() []error {
	var problems []error
	if c.Eventstore != "embedded" {
		why := "is neither embedded nor an esdb:// connection string"
		if hasScheme(c.Eventstore, "esdb", "esdb+discover", "kurrentdb", "kurrentdb+discover") {
			why = unreadable(esdb.CheckConnection(c.Eventstore))
		}
		problems = append(problems, wrongUnless(why == "", "EVENTSTORE", redact(c.Eventstore), why)...)
	}
	if c.Documents != "embedded" {
		why := "is neither embedded nor a mongodb:// connection string"
		if hasScheme(c.Documents, "mongodb", "mongodb+srv") {
			why = unreadable(mongodocs.CheckURI(c.Documents))
		}
		problems = append(problems, wrongUnless(why == "", "DOCUMENTS", redact(c.Documents), why)...)
	}
	return problems
}

func unreadable(err error) string {
	if err == nil {
		return ""
	}
	return "can't be read: " + err.Error()
}

func wrongUnless(fine bool, env, value, why string) []error {
	if fine {
		return nil
	}
	return []error{wrong(envPrefix+"_"+env, value, why)}
}

// checkCallers holds the rule that nothing but loopback is served without keys, and reads what tells callers apart.
func (c Config) checkCallers() []error {
	var problems []error
	if !c.authOn() && !httpapi.IsLoopback(c.HTTPAddr) {
		problems = append(problems, wrong(envPrefix+"_HTTP_ADDR", c.HTTPAddr,
			"is not loopback: set TIDEMARK_AUTH_JWKS or TIDEMARK_AUTH_HS256_SECRET_FILE to listen there"))
	}
	if c.RateLimit == "off" && !httpapi.IsLoopback(c.HTTPAddr) {
		problems = append(problems, wrong(envPrefix+"_RATE_LIMIT", c.RateLimit, "is allowed on loopback only"))
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		problems = append(problems, wrong(envPrefix+"_TLS_CERT_FILE", c.TLSCertFile, "and TIDEMARK_TLS_KEY_FILE go together"))
	} else if c.TLSCertFile != "" {
		if _, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile); err != nil {
			problems = append(problems, wrong(envPrefix+"_TLS_CERT_FILE", c.TLSCertFile, "can't be used with TIDEMARK_TLS_KEY_FILE: "+err.Error()))
		}
	}
	for _, problem := range (httpapi.Options{Auth: c.auth(), TrustedProxies: c.TrustedProxies, CORSOrigins: c.CorsOrigins}).Unreadable() {
		problems = append(problems, fmt.Errorf("%s_%w", envPrefix, problem))
	}
	return problems
}

// isPort accepts what can be listened on; names of services are too easily mistyped.
func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func hasScheme(s string, schemes ...string) bool {
	scheme, _, found := strings.Cut(s, "://")
	return found && oneOf(scheme, schemes...)
}

func oneOf(s string, list ...string) bool {
	for _, candidate := range list {
		if s == candidate {
			return true
		}
	}
	return false
}

// redact removes the password from a connection string, for messages and logs.
func redact(connection string) string {
	u, err := url.Parse(connection)
	if err == nil && u.User != nil {
		return u.Redacted()
	}
	if at := strings.LastIndex(connection, "@"); at >= 0 {
		return "…" + connection[at:]
	}
	if scheme, _, found := strings.Cut(connection, "://"); found && err != nil { // it may end in the midst of a password
		return scheme + "://…"
	}
	return connection
}
