package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// importChunk is how many lines go into one request: small enough to lose little on a break, large enough
// to keep the service busy.
const importChunk = 500

// maxImportLine bounds one line of an import, as the service does.
const maxImportLine = 1 << 20

func importCommand(p *program) *cobra.Command {
	command := &cobra.Command{Use: "import", Short: "bring in orders from a file", Args: cobra.NoArgs, RunE: groupUsage}
	var results string
	orders := &cobra.Command{
		Use:   "orders FILE",
		Short: "create orders from a file with one JSON object a line",
		Long: `Create orders from a file with one order creation a line (NDJSON), as POST /v1/orders takes it.

Each line's outcome goes to a results file beside it, one JSON object a line, in order. An interrupted
import is resumed by the same command: finished lines are skipped, and lines whose outcome got lost are
recognised by the service, because their keys derive from the file's content and the line's number. Empty
lines are passed over. The exit code is 1 if any line was refused; put such lines, corrected, into a file of
their own: a changed file is another import.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			client, err := p.runningService()
			if err != nil {
				return err
			}
			if results == "" {
				results = args[0] + ".results"
			}
			return p.importOrders(command.Context(), client, args[0], results)
		},
	}
	orders.Flags().StringVar(&results, "results", "", "where outcomes go (default FILE.results)")
	command.AddCommand(orders)
	return command
}

// importResult is one line of the service's answer.
type importResult struct {
	Line    int64           `json:"line"`
	Status  string          `json:"status"`
	ID      string          `json:"id,omitempty"`
	Problem json.RawMessage `json:"problem,omitempty"`
	Import  string          `json:"import,omitempty"` // fingerprint of the file, in a results file
}

// importSummary counts outcomes.
type importSummary struct {
	Created int64  `json:"created"`
	Refused int64  `json:"refused"`
	Skipped int64  `json:"alreadyDone"`
	Before  int64  `json:"refusedBefore"` // of those already done
	Results string `json:"results"`
}

func (s importSummary) done() int64 { return s.Skipped + s.Created + s.Refused }

func (p *program) importOrders(ctx context.Context, client *apiClient, path, resultsPath string) error {
	total, fingerprint, err := surveyImport(path)
	if err != nil {
		return err
	}
	results, summary, last, err := openResults(resultsPath, fingerprint)
	if err != nil {
		return err
	}
	defer results.Close()
	source, err := os.Open(path)
	if err != nil {
		return err
	}
	defer source.Close()

	shown := newBars(p.errs)
	line := shown.add("orders", total)
	line.increment(summary.Skipped)
	run := importRun{client: client, fingerprint: fingerprint, results: results, last: last, summary: &summary, bar: line}
	err = run.stream(ctx, source)
	line.finish()
	shown.wait()
	if syncErr := results.Sync(); err == nil {
		err = syncErr
	}
	if err != nil {
		return fmt.Errorf("stopped after %d lines; the same command goes on from there: %w", summary.done(), err)
	}
	err = p.say(summary, "%d created, %d refused, %d already done; outcomes in %s", summary.Created, summary.Refused, summary.Skipped, resultsPath)
	if refused := summary.Refused + summary.Before; err == nil && refused > 0 {
		return fmt.Errorf("%d of %d lines were refused; put them, corrected, into a file of their own", refused, summary.done())
	}
	return err
}

// surveyImport counts the lines that aren't empty and takes the fingerprint that makes keys repeatable.
func surveyImport(path string) (lines int64, fingerprint string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	hash := sha256.New()
	number := int64(0)
	scanner := lineScanner(io.TeeReader(file, hash))
	for scanner.Scan() {
		number++
		if len(bytes.TrimSpace(scanner.Bytes())) > 0 {
			lines++
		}
	}
	if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
		return 0, "", fmt.Errorf("%s line %d is longer than %d bytes; nothing was imported", path, number+1, maxImportLine)
	} else if err != nil {
		return 0, "", fmt.Errorf("%s can't be read: %w", path, cause(err))
	}
	return lines, hex.EncodeToString(hash.Sum(nil))[:32], nil
}

func lineScanner(r io.Reader) *bufio.Scanner {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), maxImportLine)
	return scanner
}

// openResults opens the outcomes of earlier runs for appending, counts them and gives the last line that
// has one. An outcome that a crash cut off is removed; outcomes of another content are refused, because
// their line numbers mean nothing here.
func openResults(path, fingerprint string) (*os.File, importSummary, int64, error) {
	summary := importSummary{Results: path}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, summary, 0, err
	}
	var good, last int64
	reader := bufio.NewReader(file)
	for {
		text, err := reader.ReadBytes('\n')
		var r importResult
		if err != nil || json.Unmarshal(text, &r) != nil || r.Line <= last {
			break
		}
		if r.Import != "" && r.Import != fingerprint {
			return nil, summary, 0, errors.Join(file.Close(),
				fmt.Errorf("%s has the outcomes of other content than the file has now; put corrected lines into a file of their own, or name other --results to import everything", path))
		}
		good, last = good+int64(len(text)), r.Line
		summary.Skipped++
		if r.Status != "created" {
			summary.Before++
		}
	}
	_, err = file.Seek(good, io.SeekStart)
	if err = errors.Join(file.Truncate(good), err); err != nil {
		return nil, summary, 0, errors.Join(err, file.Close())
	}
	return file, summary, last, nil
}

type importRun struct {
	client      *apiClient
	fingerprint string
	results     *os.File
	last        int64 // line that has an outcome on record, with all before it
	summary     *importSummary
	bar         *bar
}

// stream sends the lines behind the finished ones, chunk by chunk. Chunks start at fixed lines, so that a
// resumed run sends the same keys.
func (r *importRun) stream(ctx context.Context, source io.Reader) error {
	scanner := lineScanner(source)
	var chunk bytes.Buffer
	var number, first int64 = 0, 1
	flush := func() error {
		if chunk.Len() == 0 {
			return nil
		}
		err := r.send(ctx, first, chunk.Bytes())
		chunk.Reset()
		first = number + 1
		return err
	}
	for scanner.Scan() {
		text := scanner.Bytes()
		if number++; number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff")) // what some editors begin a file with
		}
		chunk.Write(bytes.TrimRight(text, "\r"))
		chunk.WriteByte('\n')
		if number%importChunk == 0 {
			if number <= r.last { // the whole chunk is done
				chunk.Reset()
				first = number + 1
				continue
			}
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	if number <= r.last {
		return nil
	}
	return flush()
}

// send posts one chunk and appends the outcomes that aren't on record yet, as they come in.
func (r *importRun) send(ctx context.Context, first int64, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.client.base+"/v1/import/orders", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	request.Header.Set("Idempotency-Key", fmt.Sprintf("import-%s-%d", r.fingerprint, first))
	if r.client.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.client.token)
	}
	response, err := r.client.http.Do(request)
	if err != nil {
		return r.client.unreachable(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // the status says enough if this fails
		return fmt.Errorf("the service answered %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	lines := 0
	for line := range bytes.Lines(body) {
		if len(bytes.TrimSpace(line)) > 0 {
			lines++
		}
	}
	got := 0
	scanner := lineScanner(response.Body)
	for scanner.Scan() {
		var result importResult
		if err := json.Unmarshal(scanner.Bytes(), &result); err != nil {
			return fmt.Errorf("an outcome can't be read: %w", err)
		}
		got++
		result.Line += first - 1
		if err := r.record(result); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	if got != lines {
		return fmt.Errorf("%d outcomes for %d lines", got, lines)
	}
	return nil
}

func (r *importRun) record(result importResult) error {
	if result.Line <= r.last {
		return nil
	}
	result.Import = r.fingerprint
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	if _, err := r.results.Write(append(text, '\n')); err != nil {
		return err
	}
	if result.Status == "created" {
		r.summary.Created++
	} else {
		r.summary.Refused++
	}
	r.bar.increment(1)
	return nil
}
