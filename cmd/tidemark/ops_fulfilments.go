package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// fulfilmentsCommand is an operator's view of the processes between confirmed and shipped.
func fulfilmentsCommand(p *program) *cobra.Command {
	command := &cobra.Command{Use: "fulfilments", Short: "look after fulfilment processes", Args: cobra.NoArgs, RunE: groupUsage}
	process := func(args []string) string { return "/v1/fulfilments/" + escaped(args[0]) }
	var status, olderThan string
	list := operation{use: "list", short: "processes under way, oldest first", args: cobra.NoArgs, method: "GET", list: true, print: printFulfilments,
		path: func([]string) string {
			query := url.Values{}
			if status != "" {
				query.Set("status", status)
			}
			if olderThan != "" {
				query.Set("olderThan", olderThan)
			}
			return "/v1/fulfilments?" + query.Encode()
		}}.command(p)
	list.Flags().StringVar(&status, "status", "", "running, prepared, completed, compensating or compensated")
	list.Flags().StringVar(&olderThan, "older-than", "", "only those at least this old, such as 10m")
	var reason string
	resolve := operation{use: "resolve ORDER", short: "end a process by hand; on record with the reason", args: cobra.ExactArgs(1), method: "POST",
		path: func(args []string) string { return process(args) + "/resolve" },
		body: func([]string) (any, error) {
			if reason == "" {
				return nil, usageError{errors.New("--reason is missing")}
			}
			return map[string]any{"reason": reason}, nil
		}}.command(p)
	resolve.Flags().StringVar(&reason, "reason", "", "why it is ended by hand")
	command.AddCommand(list, resolve,
		operation{use: "show ORDER", short: "one process: steps, attempts, what it waits for", args: cobra.ExactArgs(1), method: "GET", path: process}.command(p),
		operation{use: "retry ORDER", short: "try the next step now", args: cobra.ExactArgs(1), method: "POST",
			path: func(args []string) string { return process(args) + "/retry" }, body: noBody}.command(p))
	return command
}

func printFulfilments(p *program, body []byte) error {
	var list struct {
		Items []struct {
			OrderID    string  `json:"orderId"`
			Status     string  `json:"status"`
			Reason     string  `json:"reason"`
			AgeSeconds float64 `json:"ageSeconds"`
			Steps      []struct {
				Name, SKU, Status string
				Attempts          int
			} `json:"steps"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	rows := make([][]string, 0, len(list.Items))
	for _, f := range list.Items {
		last := ""
		if n := len(f.Steps); n > 0 {
			s := f.Steps[n-1]
			last = fmt.Sprintf("%s %s %s (%d)", s.Name, s.SKU, s.Status, s.Attempts)
		}
		rows = append(rows, []string{f.OrderID, f.Status, f.Reason, seconds(f.AgeSeconds), strconv.Itoa(len(f.Steps)), last})
	}
	return table(p.out, []string{"order", "status", "reason", "age", "steps", "last step"}, rows)
}
