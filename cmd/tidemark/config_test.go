package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestSettingsGoByTheNamesOfTheManual(t *testing.T) {
	want := map[string]string{
		"TIDEMARK_HTTP_ADDR": "http-addr", "TIDEMARK_ADMIN_ADDR": "admin-addr", "TIDEMARK_DATA_DIR": "data-dir",
		"TIDEMARK_EVENTSTORE": "eventstore", "TIDEMARK_NODE_ADDR": "node-addr", "TIDEMARK_DOCUMENTS": "documents",
		"TIDEMARK_AUTH_JWKS": "auth-jwks", "TIDEMARK_AUTH_HS256_SECRET_FILE": "auth-hs256-secret-file",
		"TIDEMARK_AUTH_ISSUER": "auth-issuer", "TIDEMARK_AUTH_AUDIENCE": "auth-audience",
		"TIDEMARK_SNAPSHOT_EVERY": "snapshot-every", "TIDEMARK_ORDER_OPEN_FOR": "order-open-for",
		"TIDEMARK_PREPARE_WITHIN": "prepare-within", "TIDEMARK_LOG_LEVEL": "log-level", "TIDEMARK_LOG_FORMAT": "log-format",
		"TIDEMARK_RATE_LIMIT": "rate-limit", "TIDEMARK_API": "api", "TIDEMARK_DOCUMENTS_SECONDARY_READS": "documents-secondary-reads",
	}
	have := map[string]string{}
	for _, s := range settings() {
		have[s.env] = s.flag
	}
	for env, flag := range want {
		if have[env] != flag {
			t.Errorf("%s has flag %q, want %q", env, have[env], flag)
		}
	}
}

// TestEnvconfigReadsEveryVariableByItsName sets each variable by the name we print and sees it arrive.
func TestEnvconfigReadsEveryVariableByItsName(t *testing.T) {
	for _, s := range settings() {
		t.Setenv(s.env, "\x01nonsense")
	}
	_, err := loadConfig(nil)
	if err == nil {
		t.Fatal("nonsense everywhere was accepted")
	}
	for _, name := range []string{"HTTP_ADDR", "EVENTSTORE", "DOCUMENTS", "SNAPSHOT_EVERY", "ORDER_OPEN_FOR", "PREPARE_WITHIN",
		"LOG_LEVEL", "LOG_FORMAT", "RATE_LIMIT", "API", "LOW_STOCK", "AUTH_JWKS", "AUTH_HS256_SECRET_FILE", "NODE_ADDR", "ADMIN_ADDR",
		"TRUSTED_PROXIES", "CORS_ORIGINS", "TLS_CERT_FILE", "DOCUMENTS_SECONDARY_READS"} {
		if !strings.Contains(err.Error(), "TIDEMARK_"+name+"=") {
			t.Errorf("TIDEMARK_%s is not reported in:\n%v", name, err)
		}
	}
}

// TestEveryWrongValueIsALineOfItsOwn in the order of the settings, and none tells a password.
func TestEveryWrongValueIsALineOfItsOwn(t *testing.T) {
	for name, value := range map[string]string{
		"HTTP_ADDR": "127.0.0.1:70000", "EVENTSTORE": "esdb://u:geheim@h:1?tls=maybe", "DOCUMENTS": "mongodb://u:geheim@",
		"AUTH_ISSUER": "https://login.example", "TRUSTED_PROXIES": "one,10.0.0.0/8,two", "CORS_ORIGINS": "*",
	} {
		t.Setenv("TIDEMARK_"+name, value)
	}
	_, err := loadConfig(nil)
	if err == nil {
		t.Fatal("nonsense was accepted")
	}
	var named []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		name, _, _ := strings.Cut(line, " ")
		named = append(named, name)
	}
	want := []string{
		`TIDEMARK_HTTP_ADDR="127.0.0.1:70000"`, `TIDEMARK_EVENTSTORE="esdb://u:xxxxx@h:1?tls=maybe"`, `TIDEMARK_DOCUMENTS="mongodb://u:xxxxx@"`,
		`TIDEMARK_AUTH_ISSUER="https://login.example"`, `TIDEMARK_TRUSTED_PROXIES="one"`, `TIDEMARK_TRUSTED_PROXIES="two"`, `TIDEMARK_CORS_ORIGINS="*"`,
	}
	if !slices.Equal(named, want) {
		t.Errorf("reported are\n%s\nwant\n%s", strings.Join(named, "\n"), strings.Join(want, "\n"))
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("a password is told:\n%v", err)
	}
}

func TestDefaultsAndFlags(t *testing.T) {
	t.Setenv("TIDEMARK_HTTP_ADDR", "127.0.0.1:9")
	t.Setenv("TIDEMARK_ORDER_OPEN_FOR", "")
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	bindFlags(flags)
	if err := flags.Parse([]string{"--http-addr", "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	config, err := loadConfig(flags)
	if err != nil {
		t.Fatal(err)
	}
	if config.HTTPAddr != "127.0.0.1:0" {
		t.Errorf("the flag did not override the variable: %q", config.HTTPAddr)
	}
	if config.OrderOpenFor != 24*time.Hour || config.PrepareWithin != 15*time.Minute || config.SnapshotEvery != 100 || config.DataDir != "./data" {
		t.Errorf("defaults are %+v", config)
	}
}

// TestConnectionStringsByBothNames of the product are taken: KurrentDB prints its own.
func TestConnectionStringsByBothNames(t *testing.T) {
	for connection, fine := range map[string]bool{
		"esdb://h:2113?tls=false": true, "esdb+discover://h": true, "kurrentdb://h:2113?tls=false": true, "kurrentdb+discover://h": true,
		"kurrentdb://": false, "http://h": false,
	} {
		if problems := (Config{Eventstore: connection, Documents: "embedded"}).checkStores(); (len(problems) == 0) != fine {
			t.Errorf("%s: %v", connection, problems)
		}
	}
}

func TestOtherThanLoopbackNeedsKeys(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "localhost:0": true, "127.9.9.9:1": true,
		"0.0.0.0:8080": false, ":8080": false, "10.0.0.1:80": false, "[::]:80": false, "example.org:80": false,
	} {
		config := Config{HTTPAddr: addr, NodeAddr: "off", Eventstore: "embedded", Documents: "embedded", RateLimit: "100",
			OrderOpenFor: 1, PrepareWithin: 1, RequestTimeout: 1, LogLevel: "info", DocumentsSecondaryReads: "off"}
		if problems := config.check(); (len(problems) == 0) != ok {
			t.Errorf("%s: %v", addr, problems)
		}
	}
}

func TestPasswordsStayOutOfMessages(t *testing.T) {
	for _, s := range []string{"http://admin:changeit@host:2113", "nonsense admin:changeit@host", "esdb://admin:changeit", "esdb://admin:change/it@host"} {
		if got := redact(s); strings.Contains(got, "changeit") {
			t.Errorf("redact(%q) = %q", s, got)
		}
	}
	for _, setting := range [][2]string{
		{"EVENTSTORE", "esdb://admin:changeit"}, {"EVENTSTORE", "esdb://admin:change/it@host"}, {"DOCUMENTS", "mongodb://admin:changeit/x@"},
		{"AUTH_JWKS", "https://admin:changeit@host:x/keys"}, {"API", "http://admin:changeit@host:x"}, {"API", "ftp://admin:changeit@host"},
	} {
		t.Run(setting[0], func(t *testing.T) {
			t.Setenv("TIDEMARK_"+setting[0], setting[1])
			if _, err := loadConfig(nil); err == nil || strings.Contains(err.Error(), "change") { // a slash splits a password
				t.Errorf("%s: %v", setting[1], err)
			}
		})
	}
	nobody := newAPIClient("http://admin:changeit@127.0.0.1:1", "")
	if _, err := nobody.call(t.Context(), "GET", "/v1/board", nil, nil); err == nil || strings.Contains(err.Error(), "changeit") {
		t.Errorf("a service that isn't there: %v", err)
	}
}
