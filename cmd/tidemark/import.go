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
recognised by the service, because their keys derive from the file's content and the line's number.
The exit code is 1 if any line was refused.`,
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
	orders.Flags().BoolVar(&p.json, "json", false, "print the summary as JSON")
	command.AddCommand(orders)
	return command
}

// importResult is one line of the service's answer.
type importResult struct {
	Line    int64           `json:"line"`
	Status  string          `json:"status"`
	ID      string          `json:"id,omitempty"`
	Problem json.RawMessage `json:"problem,omitempty"`
}

// importSummary counts outcomes.
type importSummary struct {
	Created int64  `json:"created"`
	Refused int64  `json:"refused"`
	Skipped int64  `json:"alreadyDone"`
	Results string `json:"results"`
}

func (p *program) importOrders(ctx context.Context, client *apiClient, path, resultsPath string) error {
	total, fingerprint, err := surveyImport(path)
	if err != nil {
		return err
	}
	results, done, err := openResults(resultsPath)
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
	line.increment(done.Created + done.Refused)
	summary := done
	summary.Skipped, summary.Created, summary.Refused = done.Created+done.Refused, 0, 0
	summary.Results = resultsPath
	run := importRun{client: client, fingerprint: fingerprint, results: results, summary: &summary, bar: line}
	err = run.stream(ctx, source)
	line.finish()
	shown.wait()
	if syncErr := results.Sync(); err == nil {
		err = syncErr
	}
	if err != nil {
		return fmt.Errorf("stopped after %d lines; the same command goes on from there: %w", summary.Skipped+summary.Created+summary.Refused, err)
	}
	if p.json {
		err = printJSON(p.out, summary)
	} else {
		fmt.Fprintf(p.out, "%d created, %d refused, %d already done; outcomes in %s\n", summary.Created, summary.Refused, summary.Skipped, resultsPath)
	}
	if err == nil && summary.Refused > 0 {
		return fmt.Errorf("%d lines were refused", summary.Refused)
	}
	return err
}

// surveyImport counts the lines and takes the fingerprint that makes keys repeatable.
func surveyImport(path string) (lines int64, fingerprint string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	hash := sha256.New()
	scanner := lineScanner(io.TeeReader(file, hash))
	for scanner.Scan() {
		lines++
	}
	if err := scanner.Err(); err != nil {
		return 0, "", fmt.Errorf("%s line %d: %w", path, lines+1, err)
	}
	return lines, hex.EncodeToString(hash.Sum(nil))[:32], nil
}

func lineScanner(r io.Reader) *bufio.Scanner {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 64<<10), maxImportLine)
	return scanner
}

// openResults opens the outcomes of earlier runs for appending and counts them. A last line that a
// crash cut off is removed.
func openResults(path string) (*os.File, importSummary, error) {
	var done importSummary
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, done, err
	}
	var good int64
	reader := bufio.NewReader(file)
	for {
		text, err := reader.ReadBytes('\n')
		if err != nil {
			break
		}
		var r importResult
		if json.Unmarshal(text, &r) != nil || r.Line != done.Created+done.Refused+1 {
			break
		}
		good += int64(len(text))
		if r.Status == "created" {
			done.Created++
		} else {
			done.Refused++
		}
	}
	if err := file.Truncate(good); err != nil {
		return nil, done, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(good, io.SeekStart); err != nil {
		return nil, done, errors.Join(err, file.Close())
	}
	return file, done, nil
}

type importRun struct {
	client      *apiClient
	fingerprint string
	results     *os.File
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
		number++
		chunk.Write(bytes.TrimRight(scanner.Bytes(), "\r"))
		chunk.WriteByte('\n')
		if number%importChunk == 0 {
			if number <= r.summary.Skipped { // the whole chunk is done
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
	if number <= r.summary.Skipped {
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
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // the status says enough if this fails
		return fmt.Errorf("the service answered %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	lines := int64(bytes.Count(body, []byte{'\n'}))
	var got int64
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
	if result.Line <= r.summary.Skipped {
		return nil
	}
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
