package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
	"github.com/spf13/pflag"
)

// envPrefix stands before every variable of ours.
const envPrefix = "TIDEMARK"

// Config is every setting of the program: TIDEMARK_<NAME> in the environment, --<name> as a flag.
type Config struct {
	HTTPAddr  string `split_words:"true" default:"127.0.0.1:8080" desc:"public listener; port 0 picks one and prints it"`
	AdminAddr string `split_words:"true" desc:"separate listener for /metrics and /debug/pprof; empty: metrics on the public one while that is loopback"`
	DataDir   string `split_words:"true" default:"./data" desc:"directory of the embedded files; locked against a second process"`

	Eventstore string `split_words:"true" default:"embedded" desc:"embedded, or esdb://… or esdb+discover://…"`
	NodeAddr   string `split_words:"true" default:"127.0.0.1:2113" desc:"where the embedded node listens; port 0 picks one; off: reachable by this process only"`
	Documents  string `split_words:"true" default:"embedded" desc:"embedded, or mongodb://…/tidemark?replicaSet=rs0"`
	// DocumentsSecondaryReads is off unless told: answers of secondaries may be a second old, and only clusters gain from it.
	DocumentsSecondaryReads string `split_words:"true" default:"off" desc:"on: lists asked for without a Tidemark may be read from MongoDB secondaries, at most a second old"`

	AuthJwks            string `split_words:"true" desc:"JWKS file or URL with the keys that sign tokens (RS256, ES256, EdDSA)"`
	AuthHs256SecretFile string `split_words:"true" desc:"file with a shared secret of at least 32 bytes (HS256, development)"`
	AuthIssuer          string `split_words:"true" desc:"issuer that tokens must name"`
	AuthAudience        string `split_words:"true" desc:"audience that tokens must name"`

	SnapshotEvery int           `split_words:"true" default:"100" desc:"events between snapshots of a stream; 0: none"`
	OrderOpenFor  time.Duration `split_words:"true" default:"24h" desc:"how long an order may stay unconfirmed"`
	PrepareWithin time.Duration `split_words:"true" default:"15m" desc:"how long after confirmation an order must be prepared"`
	LowStock      int64         `split_words:"true" default:"10" desc:"available pieces below which stock is low"`

	RateLimit      string        `split_words:"true" default:"100" desc:"requests per principal and second, burst four times that; off only on loopback"`
	RequestTimeout time.Duration `split_words:"true" default:"10s" desc:"longest a request may take, waiting included for commands"`
	TrustedProxies []string      `split_words:"true" desc:"CIDRs of proxies whose X-Forwarded-For is believed"`
	CorsOrigins    []string      `split_words:"true" desc:"origins that browsers may call from; none: closed"`
	TLSCertFile    string        `split_words:"true" desc:"certificate chain for the public listener (PEM); reloaded when it changes"`
	TLSKeyFile     string        `split_words:"true" desc:"private key for the certificate (PEM)"`

	LogLevel  string `split_words:"true" default:"info" desc:"debug, info, warn or error"`
	LogFormat string `split_words:"true" desc:"text or json; empty: text on a terminal, else json"`

	API string `split_words:"true" desc:"URL of a running service that the operator commands use; empty: they open the stores"`
	// APIToken is sent by the operator commands as a bearer token.
	APIToken string `split_words:"true" desc:"bearer token for the operator commands"`
}

// setting is one field of Config with the names it goes by.
type setting struct {
	field reflect.StructField
	index int
	env   string
	flag  string
}

// settings lists the fields of Config in order.
func settings() []setting {
	t := reflect.TypeFor[Config]()
	list := make([]setting, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		env := envPrefix + "_" + snake(f.Name)
		flag := strings.ReplaceAll(strings.ToLower(snake(f.Name)), "_", "-")
		list = append(list, setting{field: f, index: i, env: env, flag: flag})
	}
	return list
}

// snake is envconfig's split_words rule for the names used here: a new word starts at an upper-case
// letter that follows a lower-case letter or digit, or that is followed by a lower-case letter.
func snake(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		upper := c >= 'A' && c <= 'Z'
		if i > 0 && upper {
			before := name[i-1]
			lowerBefore := before < 'A' || before > 'Z'
			lowerAfter := i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
			if lowerBefore || lowerAfter {
				b.WriteByte('_')
			}
		}
		b.WriteByte(c)
	}
	return strings.ToUpper(b.String())
}

// bindFlags gives every setting a flag that overrides its variable.
func bindFlags(flags *pflag.FlagSet) {
	for _, s := range settings() {
		usage := s.field.Tag.Get("desc") + " [" + s.env + "]"
		flags.String(s.flag, s.field.Tag.Get("default"), usage)
	}
}

// loadConfig reads the environment and the flags that were given, fills in defaults and checks
// everything. The error names every wrong setting, one line each.
func loadConfig(flags *pflag.FlagSet) (Config, error) {
	var config Config
	var problems []error
	target := reflect.ValueOf(&config).Elem()
	for _, s := range settings() {
		if flags != nil && flags.Changed(s.flag) {
			value, err := flags.GetString(s.flag)
			if err != nil {
				return Config{}, err
			}
			if err := os.Setenv(s.env, value); err != nil {
				return Config{}, err
			}
		}
		if os.Getenv(s.env) == "" { // set but empty means the default, as in compose files
			if err := os.Unsetenv(s.env); err != nil {
				return Config{}, err
			}
		}
		// One field at a time: envconfig stops at the first wrong value, people want them all.
		one := reflect.New(reflect.StructOf([]reflect.StructField{s.field}))
		if err := envconfig.Process(envPrefix, one.Interface()); err != nil {
			problems = append(problems, wrong(s.env, os.Getenv(s.env), fmt.Sprintf("is no %s", plainType(s.field.Type))))
			continue
		}
		target.Field(s.index).Set(one.Elem().Field(0))
	}
	for _, problem := range config.check() {
		name, _, _ := strings.Cut(problem.Error(), "=")
		reported := slices.ContainsFunc(problems, func(p error) bool { return strings.HasPrefix(p.Error(), name+"=") })
		if !reported { // what could not be read has its zero value, which may be wrong as well
			problems = append(problems, problem)
		}
	}
	return config, errors.Join(problems...)
}

func wrong(env, value, why string) error { return fmt.Errorf("%s=%q %s", env, value, why) }

func plainType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration such as 15m or 24h"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return "whole number"
	default:
		return t.String()
	}
}

// check finds values that have the right type and can't work.
func (c Config) check() []error {
	var problems []error
	complain := func(env, value, why string) { problems = append(problems, wrong(envPrefix+"_"+env, value, why)) }
	for env, addr := range map[string]string{"HTTP_ADDR": c.HTTPAddr, "ADMIN_ADDR": c.AdminAddr, "NODE_ADDR": c.NodeAddr} {
		if addr == "" && env == "ADMIN_ADDR" || addr == "off" && env == "NODE_ADDR" {
			continue
		}
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			complain(env, addr, "is no host:port")
		}
	}
	if c.Eventstore != "embedded" && !hasScheme(c.Eventstore, "esdb", "esdb+discover") {
		complain("EVENTSTORE", redact(c.Eventstore), "is neither embedded nor an esdb:// connection string")
	}
	if c.Documents != "embedded" && !hasScheme(c.Documents, "mongodb", "mongodb+srv") {
		complain("DOCUMENTS", redact(c.Documents), "is neither embedded nor a mongodb:// connection string")
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
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		complain("TLS_CERT_FILE", c.TLSCertFile, "and TIDEMARK_TLS_KEY_FILE go together")
	}
	if c.API != "" && !hasScheme(c.API, "http", "https") {
		complain("API", c.API, "is no http:// or https:// URL")
	}
	return append(problems, c.checkAuth()...)
}

// checkAuth holds the rule that nothing but loopback is served without keys.
func (c Config) checkAuth() []error {
	var problems []error
	for env, file := range map[string]string{"AUTH_HS256_SECRET_FILE": c.AuthHs256SecretFile, "AUTH_JWKS": c.AuthJwks} {
		if file == "" || hasScheme(file, "http", "https") {
			continue
		}
		if _, err := os.Stat(filepath.Clean(file)); err != nil {
			problems = append(problems, wrong(envPrefix+"_"+env, file, "can't be read"))
		}
	}
	if !c.authOn() && !isLoopback(c.HTTPAddr) {
		problems = append(problems, wrong(envPrefix+"_HTTP_ADDR", c.HTTPAddr,
			"is not loopback: set TIDEMARK_AUTH_JWKS or TIDEMARK_AUTH_HS256_SECRET_FILE to listen there"))
	}
	if c.RateLimit == "off" && !isLoopback(c.HTTPAddr) {
		problems = append(problems, wrong(envPrefix+"_RATE_LIMIT", c.RateLimit, "is allowed on loopback only"))
	}
	return problems
}

// authOn says whether callers have to show a token.
func (c Config) authOn() bool { return c.AuthJwks != "" || c.AuthHs256SecretFile != "" }

// rateLimit is RATE_LIMIT as a number, 0 for off.
func (c Config) rateLimit() (float64, error) {
	if c.RateLimit == "off" {
		return 0, nil
	}
	var n float64
	var rest string
	if count, _ := fmt.Sscanf(c.RateLimit, "%f%s", &n, &rest); count != 1 || !(n > 0 && n <= 1e6) {
		return 0, errors.New("not a number above 0")
	}
	return n, nil
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

// isLoopback says whether only this machine can reach the address.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// redact removes the password from a connection string, for messages and logs.
func redact(connection string) string {
	u, err := url.Parse(connection)
	if err != nil || u.User == nil {
		if at := strings.LastIndex(connection, "@"); at >= 0 {
			return "…" + connection[at:]
		}
		return connection
	}
	return u.Redacted()
}
