package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keyPair is where a certificate and its key are kept.
type keyPair struct{ cert, key string }

// write makes a pair for this machine with a serial number, and puts its files in place one after the
// other, as tools that renew certificates do.
func (k keyPair) write(t *testing.T, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "tidemark"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	k.replace(t, k.cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	k.replace(t, k.key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func (k keyPair) replace(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// serving is the serial number of the certificate that a listener shows, 0 if it shows none.
func serving(addr string, config *tls.Config) (int64, error) {
	config = config.Clone()
	config.InsecureSkipVerify = true // whose certificate it is is what the tests ask
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, config)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// TestARenewedCertificateIsTakenUpWithoutARestart, and files that can't be used leave the old one serving.
func TestARenewedCertificateIsTakenUpWithoutARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair := keyPair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	pair.write(t, 1)
	p := startProcess(t, t.TempDir(), nil, "TIDEMARK_TLS_CERT_FILE="+pair.cert, "TIDEMARK_TLS_KEY_FILE="+pair.key)
	addr, found := strings.CutPrefix(p.api.base, "https://")
	if !found {
		t.Fatalf("with a certificate the API is at %s", p.api.base)
	}
	shows := func(want int64) bool {
		serial, err := serving(addr, &tls.Config{})
		if err != nil {
			t.Fatalf("a handshake failed: %v", err)
		}
		return serial == want
	}
	if !shows(1) {
		t.Fatal("another certificate than the one given")
	}
	pair.replace(t, pair.cert, "half a certificate")
	for deadline := time.Now().Add(1500 * time.Millisecond); time.Now().Before(deadline); { // the files are looked at once a second
		if !shows(1) {
			t.Fatal("files that can't be used changed what is served")
		}
	}
	pair.write(t, 2)
	p.await("the renewed certificate", func() bool { return shows(2) })
	if _, err := serving(addr, &tls.Config{MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: patience}
	defer client.CloseIdleConnections()
	response, err := client.Get(p.api.base + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/healthz over TLS: %d", response.StatusCode)
	}
	if code := p.interrupt(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, p.output())
	}
}

func TestACertificateThatCannotBeUsedEndsTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair := keyPair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	other := keyPair{pair.cert, filepath.Join(dir, "other.key")}
	pair.write(t, 1)
	other.write(t, 2) // the certificate now belongs to the other key
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, _, err := withTLS(listener, pair.cert, pair.key); err == nil || !strings.Contains(err.Error(), "TIDEMARK_TLS_CERT_FILE") {
		t.Errorf("a key of another certificate: %v", err)
	}
}
