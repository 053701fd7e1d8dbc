package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

// verifyEvents walks every stream's hash chain and finds the first bad event of each.
func verifyEvents(p *program) *cobra.Command {
	var checkpoint string
	command := &cobra.Command{
		Use: "verify [STREAM…]", Short: "prove that no event was changed, removed or inserted; exit code 1 if one was",
		Long: `Follow the chain of hashes through every stream, or the named ones, and report the first bad event of each.
With --checkpoint the log is also compared with a signed checkpoint taken earlier: everything up to it must still
be there, unchanged and in the same order.`,
	}
	command.Flags().StringVar(&checkpoint, "checkpoint", "", "file written by: tidemark events checkpoint")
	command.RunE = func(command *cobra.Command, args []string) error {
		ctx := command.Context()
		return p.withEvents(ctx, func(store *esdb.Store) error { return p.verifyEvents(ctx, store, args, checkpoint) })
	}
	return command
}

func (p *program) verifyEvents(ctx context.Context, store *esdb.Store, streams []string, checkpointPath string) error {
	checker := newChainChecker()
	rolling := newRollingHash()
	var expected *checkpoint
	if checkpointPath != "" {
		var err error
		if expected, err = readCheckpoint(checkpointPath); err != nil {
			return err
		}
	}
	bad := []string{}
	report := func(err error) { bad = append(bad, err.Error()) }
	if len(streams) > 0 {
		for _, stream := range streams {
			for raw, err := range store.ReadStreamRaw(ctx, stream, 0) {
				if err != nil {
					return err
				}
				checker.take(raw, report)
			}
			if _, seen := checker.tips[stream]; !seen {
				report(fmt.Errorf("stream %s has no events", stream))
			}
		}
	} else {
		reached := false
		for raw, err := range store.ReadAllRaw(ctx, domain.From{}, domainPrefixes) {
			if err != nil {
				return err
			}
			checker.take(raw, report)
			rolling.take(raw)
			if expected != nil && rolling.events == expected.Events {
				reached = true
				if hex.EncodeToString(rolling.sum) != expected.Hash {
					report(fmt.Errorf("the log differs from the checkpoint of %s within its first %d events", expected.At.Format(time.RFC3339), expected.Events))
				}
			}
		}
		if expected != nil && !reached {
			report(fmt.Errorf("the log has %d events, the checkpoint of %s had %d", rolling.events, expected.At.Format(time.RFC3339), expected.Events))
		}
	}
	err := p.say(map[string]any{"events": checker.events, "streams": len(checker.tips), "bad": bad},
		"%s%d events in %d streams verified, %d bad.", lines(bad), checker.events, len(checker.tips), len(bad))
	if err == nil && len(bad) > 0 {
		err = errDrift
	}
	return err
}

// chainChecker follows the chains of many streams at once and stays silent about a stream after its
// first bad event: what follows a break is broken as well.
type chainChecker struct {
	events int64
	tips   map[string]domain.Tip
	broken map[string]bool
}

func newChainChecker() *chainChecker {
	return &chainChecker{tips: map[string]domain.Tip{}, broken: map[string]bool{}}
}

func (c *chainChecker) take(raw codec.Raw, report func(error)) {
	c.events++
	if c.broken[raw.Stream] {
		return
	}
	tip, seen := c.tips[raw.Stream]
	if !seen {
		tip.Revision = domain.NoStream
	}
	next, err := codec.Check(tip.Hash, raw)
	if raw.Revision != tip.Revision+1 {
		err = fmt.Errorf("event %d of %s follows event %d", raw.Revision, raw.Stream, tip.Revision)
	}
	if err != nil {
		c.broken[raw.Stream] = true
		report(err)
	}
	c.tips[raw.Stream] = domain.Tip{Revision: raw.Revision, Hash: next}
}

// rollingHash is one hash over the shop's whole log, in its order.
type rollingHash struct {
	events int64
	sum    []byte
}

func newRollingHash() *rollingHash { return &rollingHash{sum: make([]byte, sha256.Size)} }

func (r *rollingHash) take(raw codec.Raw) {
	r.events++
	hash := sha256.New()
	hash.Write(r.sum)
	hash.Write(binary.BigEndian.AppendUint64(nil, uint64(raw.Revision)))
	hash.Write([]byte(raw.Stream + "\x00" + codec.Hash(raw)))
	r.sum = hash.Sum(nil)
}

// checkpoint says what the log was at some time, signed by whoever keeps the key.
type checkpoint struct {
	Events    int64     `json:"events"`
	Hash      string    `json:"hash"` // over all events up to here, hex
	At        time.Time `json:"at"`
	PublicKey string    `json:"publicKey"` // Ed25519, hex
	Signature string    `json:"signature"` // over the fields above, hex
}

func (c checkpoint) signed() []byte {
	return fmt.Appendf(nil, "tidemark checkpoint 1\n%d\n%s\n%s\n", c.Events, c.Hash, c.At.UTC().Format(time.RFC3339Nano))
}

func checkpointCommand(p *program) *cobra.Command {
	var keyFile, out string
	command := &cobra.Command{Use: "checkpoint", Short: "write a signed hash over the whole log, to check the log against later", Args: cobra.NoArgs,
		Long: `Write a signed hash over the whole log. Keep the file and the key away from the machine that holds the log:
events verify --checkpoint FILE then shows whether anything up to it was changed, removed or reordered since.
The key is an Ed25519 private key (PEM, PKCS 8); one that is missing is made.`}
	command.Flags().StringVar(&keyFile, "key", "checkpoint.key", "file with the private key")
	command.Flags().StringVar(&out, "out", "checkpoint.json", "file to write")
	command.RunE = func(command *cobra.Command, _ []string) error {
		key, err := signingKey(keyFile)
		if err != nil {
			return err
		}
		ctx := command.Context()
		return p.withEvents(ctx, func(store *esdb.Store) error {
			rolling := newRollingHash()
			for raw, err := range store.ReadAllRaw(ctx, domain.From{}, domainPrefixes) {
				if err != nil {
					return err
				}
				rolling.take(raw)
			}
			c := checkpoint{Events: rolling.events, Hash: hex.EncodeToString(rolling.sum), At: time.Now().UTC(),
				PublicKey: hex.EncodeToString(key.Public().(ed25519.PublicKey))}
			c.Signature = hex.EncodeToString(ed25519.Sign(key, c.signed()))
			text, err := json.MarshalIndent(c, "", "  ")
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, append(text, '\n'), 0o644); err != nil {
				return err
			}
			return p.say(c, "%s: %d events, %s", out, c.Events, c.Hash)
		})
	}
	return command
}

// signingKey reads the private key, or makes one where there is none.
func signingKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", path)
	}
	return key, nil
}

// readCheckpoint reads a checkpoint and checks its signature.
func readCheckpoint(path string) (*checkpoint, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c checkpoint
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("%s is no checkpoint: %w", path, err)
	}
	public, err := hex.DecodeString(c.PublicKey)
	signature, err2 := hex.DecodeString(c.Signature)
	if err != nil || err2 != nil || len(public) != ed25519.PublicKeySize || !ed25519.Verify(public, c.signed(), signature) {
		return nil, fmt.Errorf("%s has a wrong signature", path)
	}
	return &c, nil
}
