package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
	"github.com/spf13/pflag"

	"github.com/tidemark-dev/tidemark/httpapi"
)

// envPrefix stands before every variable of ours.
const envPrefix = "TIDEMARK"

// Config is every setting of the program: TIDEMARK_<NAME> in the environment, --<name> as a flag.
type Config struct {
	HTTPAddr  string `split_words:"true" default:"127.0.0.1:8080" desc:"public listener; port 0 picks one and prints it"`
	AdminAddr string `split_words:"true" desc:"separate listener for /metrics, /healthz, /readyz and /debug/pprof; empty: metrics on the public one while that is loopback"`
	DataDir   string `split_words:"true" default:"./data" desc:"directory of the embedded files; locked against a second process"`

	Eventstore string `split_words:"true" default:"embedded" desc:"embedded, or esdb://… or esdb+discover://…"`
	NodeAddr   string `split_words:"true" default:"127.0.0.1:2113" desc:"where the embedded node listens; port 0 picks one; off: reachable by this process only"`
	Documents  string `split_words:"true" default:"embedded" desc:"embedded, or mongodb://…/tidemark?replicaSet=rs0"`
	// DocumentsSecondaryReads is off unless told: answers of secondaries may be a second old, and only clusters gain from it.
	DocumentsSecondaryReads string `split_words:"true" default:"off" desc:"on: lists asked for without a Tidemark may be read from MongoDB secondaries, at most a second old"`

	AuthJwks            string `split_words:"true" desc:"JWKS file or URL with the keys that sign tokens (RS256, ES256, EdDSA)"`
	AuthHs256SecretFile string `split_words:"true" desc:"file with a shared secret (HS256, development); 32 bytes or more"`
	AuthIssuer          string `split_words:"true" desc:"issuer that tokens must name"`
	AuthAudience        string `split_words:"true" desc:"audience that tokens must name"`

	SnapshotEvery int           `split_words:"true" default:"100" desc:"events between snapshots of a stream; 0: none"`
	OrderOpenFor  time.Duration `split_words:"true" default:"24h" desc:"how long an order may stay unconfirmed"`
	PrepareWithin time.Duration `split_words:"true" default:"15m" desc:"how long after confirmation an order must be prepared"`
	LowStock      int64         `split_words:"true" default:"10" desc:"available pieces below which stock is low; 0: none is"`

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
	return config, errors.Join(ordered(append(problems, config.check()...))...)
}

// ordered puts problems in the order of the settings and keeps the first of each: what could not be read
// has its zero value, which is wrong as well. Only a list may have several, one for each of its values.
func ordered(problems []error) []error {
	var list []error
	for _, s := range settings() {
		for _, problem := range problems {
			if variable(problem) != s.env {
				continue
			}
			if list = append(list, problem); s.field.Type.Kind() != reflect.Slice {
				break
			}
		}
	}
	return list
}

// variable is what a problem with a setting begins with.
func variable(problem error) string {
	name, _, _ := strings.Cut(problem.Error(), "=")
	return name
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

// auth is how callers prove who they are.
func (c Config) auth() httpapi.Auth {
	return httpapi.Auth{JWKS: c.AuthJwks, HS256SecretFile: c.AuthHs256SecretFile, Issuer: c.AuthIssuer, Audience: c.AuthAudience}
}

// authOn says whether callers have to show a token.
func (c Config) authOn() bool { return c.auth().Enabled() }

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

// lowStock is the bound of low stock as options take it: their 0 means the default, the variable's that none is low.
func (c Config) lowStock() int64 {
	if c.LowStock == 0 {
		return -1
	}
	return c.LowStock
}
