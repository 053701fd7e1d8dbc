package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// table prints rows for people, columns aligned.
func table(out io.Writer, header []string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(header, "\t")))
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = spelt(cell, "")
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// printJSON prints a value for programs, indented.
func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// say prints what a command did: a sentence for people, the value for programs.
func (p *program) say(value any, format string, args ...any) error {
	if p.json {
		return printJSON(p.out, value)
	}
	_, err := fmt.Fprintf(p.out, format+"\n", args...)
	return err
}

// lines puts findings above the sentence that counts them.
func lines(findings []string) string {
	var b strings.Builder
	for _, finding := range findings {
		b.WriteString(spelt(finding, "") + "\n")
	}
	return b.String()
}

// seconds prints a number of seconds as a person would say it.
func seconds(s float64) string {
	if math.IsNaN(s) || s < 0 {
		return "?"
	}
	d := time.Duration(s * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// printFields prints an answer with one thing in it, a field a line.
func printFields(p *program, body []byte) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	if err := writeFields(w, "", body); err != nil {
		return err
	}
	return w.Flush()
}

// writeFields writes the fields of an object in their order, those of an object in it below its name.
func writeFields(w io.Writer, within string, object []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("the answer is no JSON: %w", err)
	}
	for decoder.More() {
		var value json.RawMessage
		name, err := decoder.Token()
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			return fmt.Errorf("the answer is no JSON object: %w", err)
		}
		text := string(value)
		switch value[0] {
		case '{':
			if err := writeFields(w, within+fmt.Sprint(name)+".", value); err != nil {
				return err
			}
			continue
		case '"':
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "%s%s\t%s\n", within, name, spelt(text, ""))
	}
	return nil
}

// printRaw prints an answer of the service as indented JSON.
func printRaw(out io.Writer, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	var value any
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("the answer is no JSON: %w", err)
	}
	return printJSON(out, value)
}
