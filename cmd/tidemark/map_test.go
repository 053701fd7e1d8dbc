package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tidemark-dev/tidemark"

// mayImport is the map of docs/architecture.md: which of our packages a package may import. A trailing
// "/*" covers the folders below. Test files obey it as well, except where testsToo names more.
var mayImport = map[string][]string{
	"domain":                           {},
	"domain/*":                         {"domain"},
	"application":                      {"domain", "domain/*"},
	"application/storetest":            {"application", "domain", "domain/*"},
	"readmodels":                       {"domain", "domain/*"},
	"readmodels/documentstest":         {"readmodels", "domain"},
	"httpapi":                          {"domain", "domain/*", "application", "readmodels", "httpapi/*"},
	"httpapi/*":                        {},
	"infrastructure/codec":             {"domain", "domain/*"},
	"infrastructure/esdb":              {"domain", "application", "infrastructure/codec"},
	"infrastructure/mongodocs":         {"domain", "readmodels"},
	"infrastructure/sqlitedocs":        {"domain", "readmodels", "infrastructure/sqlite"},
	"infrastructure/esnode":            {"infrastructure/esnode/eventlog", "infrastructure/esnode/groups", "infrastructure/esnode/protocol"},
	"infrastructure/esnode/baseline":   {},
	"infrastructure/esnode/protocol":   {},
	"infrastructure/esnode/protocol/*": {},
	"infrastructure/esnode/eventlog":   {"infrastructure/sqlite"},
	"infrastructure/esnode/groups":     {},
	"infrastructure/sqlite":            {},
	"infrastructure/telemetry":         {"domain", "application", "readmodels"},
	"cmd/tidemark":                     {"*"},
}

// testsToo names what a package's tests may import on top: contract suites and the stand-ins they run against.
var testsToo = map[string][]string{
	"readmodels":                {"readmodels/documentstest"},
	"infrastructure/esdb":       {"application/storetest", "domain/*", "infrastructure/esnode", "infrastructure/esnode/eventlog"},
	"infrastructure/sqlitedocs": {"readmodels/documentstest"},
	"infrastructure/mongodocs":  {"readmodels/documentstest"},
	"infrastructure/esnode":     {"infrastructure/sqlite"},
}

// homes says where a library may be imported; everything not listed is free.
var homes = map[string][]string{
	"github.com/labstack/echo":                   {"httpapi"},
	"github.com/getkin/kin-openapi":              {"httpapi"},
	"github.com/golang-jwt/jwt":                  {"httpapi"},
	"github.com/MicahParks/keyfunc":              {"httpapi"},
	"github.com/kelseyhightower/envconfig":       {"cmd/tidemark"},
	"github.com/spf13/cobra":                     {"cmd/tidemark"},
	"github.com/vbauerster/mpb":                  {"cmd/tidemark"},
	"go.mongodb.org/mongo-driver":                {"infrastructure/mongodocs"},
	"github.com/EventStore/EventStore-Client-Go": {"infrastructure/esdb", "infrastructure/esnode", "infrastructure/esnode/protocol", "infrastructure/esnode/baseline"},
	"github.com/ncruces/go-sqlite3":              {"infrastructure/sqlite", "infrastructure/sqlitedocs", "infrastructure/esnode/eventlog"},
	"github.com/prometheus/client_golang":        {"infrastructure/telemetry"},
	"go.opentelemetry.io":                        {"infrastructure/telemetry"},
	"google.golang.org/grpc":                     {"infrastructure/esnode", "infrastructure/esnode/protocol", "infrastructure/esnode/baseline", "infrastructure/esdb"},
}

// pure packages decide and fold: no I/O, clock, randomness, log or encoding.
var impure = []string{"context", "os", "io", "net", "log", "log/slog", "encoding/json", "math/rand", "math/rand/v2", "crypto/rand", "database/sql"}

type sourceFile struct {
	path, dir string
	test      bool
	imports   []string
	syntax    *ast.File
	set       *token.FileSet
	lines     int
}

// sources parses every Go file of the repository. It reads the files itself: a list of imports asked
// from a subprocess can come from the test cache of before a forbidden import was added.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	root := filepath.Join("..", "..")
	var files []sourceFile
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "data" || name == "tools") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file := sourceFile{path: filepath.ToSlash(relative), dir: filepath.ToSlash(filepath.Dir(relative)), test: strings.HasSuffix(name, "_test.go"),
			syntax: syntax, set: set, lines: strings.Count(string(text), "\n")}
		for _, i := range syntax.Imports {
			file.imports = append(file.imports, strings.Trim(i.Path.Value, `"`))
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d files found: the walk is broken", len(files))
	}
	return files
}

func covers(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		folder, below := strings.CutSuffix(p, "/*")
		return p == "*" || p == dir || below && strings.HasPrefix(dir, folder+"/")
	})
}

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t) {
		allowed, known := mayImport[file.dir]
		if !known {
			parent := filepath.ToSlash(filepath.Dir(file.dir)) + "/*"
			allowed, known = mayImport[parent]
		}
		if !known {
			t.Errorf("%s: package %s is not on the map", file.path, file.dir)
			continue
		}
		if file.test {
			allowed = append(slices.Clone(allowed), testsToo[file.dir]...)
			allowed = append(allowed, file.dir)
		}
		for _, path := range file.imports {
			ours, ok := strings.CutPrefix(path, module+"/")
			if ok && (!covers(allowed, ours) || strings.HasSuffix(ours, "test") && !file.test) {
				t.Errorf("%s imports %s", file.path, ours)
			}
		}
	}
}

func TestLibrariesHaveOneHome(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t) {
		for _, path := range file.imports {
			for library, dirs := range homes {
				if strings.HasPrefix(path, library) && !slices.Contains(dirs, file.dir) && !file.test {
					t.Errorf("%s imports %s, whose home is %s", file.path, path, strings.Join(dirs, ", "))
				}
			}
			if (file.dir == "domain" || strings.HasPrefix(file.dir, "domain/")) && !file.test && slices.Contains(impure, path) {
				t.Errorf("%s imports %s: the domain is pure", file.path, path)
			}
		}
	}
}

// Ceilings on size: what grows past them wants to be two things.
const (
	maxFileLines     = 400
	maxFunctionLines = 60
)

func TestFilesAndFunctionsStaySmall(t *testing.T) {
	t.Parallel()
	for _, file := range sources(t) {
		if ast.IsGenerated(file.syntax) {
			continue
		}
		if file.lines > maxFileLines {
			t.Errorf("%s has %d lines, the ceiling is %d", file.path, file.lines, maxFileLines)
		}
		for _, declaration := range file.syntax.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || function.Body == nil || file.test {
				continue
			}
			lines := file.set.Position(function.End()).Line - file.set.Position(function.Pos()).Line + 1
			if lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, the ceiling is %d", file.path, function.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}
