package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The world that a browser would give the page's code: paths below one address, EventSource, alert.
const uiBrowser = `
const base = process.argv[2], plainFetch = globalThis.fetch;
globalThis.fetch = (path, options) => plainFetch(base + path, options);
const alerts = [];
const alert = (text) => alerts.push(text);
class EventSource {
  constructor(path) { this.listeners = {}; this.stop = new AbortController(); this.read(path); }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  close() { this.stop.abort(); }
  async read(path) {
    try {
      const response = await fetch(path, { headers: { Accept: 'text/event-stream' }, signal: this.stop.signal });
      let text = '';
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
          const field = (name) => (text.slice(0, end).split('\n').find((line) => line.startsWith(name + ': ')) || '').slice(name.length + 2);
          if (this.listeners[field('event')]) this.listeners[field('event')]({ data: field('data') });
        }
      }
    } catch (error) { if (error.name !== 'AbortError') throw error; }
  }
}
`

// What a page does with it.
const uiStory = `
const demand = (holds, what) => { if (!holds) throw new Error('it is not so: ' + what); };
const account = await command('/v1/accounts', { customerId: 'ann', currency: 'EUR' });
await command('/v1/accounts/' + account.id + '/deposits', { amount: 5000, currency: 'EUR' });
await command('/v1/inventory/TEA/receipts', { quantity: 5 });
for (let n = 1; n <= 5; n++) { // each list has the order that was just made
  const made = await command('/v1/orders', { customerId: 'ann', accountId: account.id, currency: 'EUR', items: [{ sku: 'TEA', quantity: 1, unitPrice: 450 }] });
  const rows = await query('/v1/orders?customerId=ann');
  demand(rows.items.length === n && rows.items[0].id === made.id, 'the list has order ' + n + ': ' + JSON.stringify(rows));
}
const order = (await query('/v1/orders?limit=1')).items[0];
const shown = [];
const show = (state) => shown.push(state);
const source = follow(order.id, order, show);
await confirmOrder(order, show);
demand(shown.some((s) => s.pending && s.status === 'confirmed'), 'it was optimistic');
while (!shown.some((s) => s.status === 'prepared')) await new Promise((go) => setTimeout(go, 5));
source.close();
await confirmOrder(order, show);
demand(alerts.length === 1 && shown.at(-1) === order, 'a refusal is said and taken back: ' + alerts);
console.log('all of it is so');
`

// TestThePageForUITeamsDoesWhatItSays runs the code of docs/ui.md against the program.
func TestThePageForUITeamsDoesWhatItSays(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("the page's code is JavaScript, and there is no node here to run it")
	}
	page, err := os.ReadFile("../../docs/ui.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```js\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Fatalf("the page has %d pieces of code; this test knows 3", len(blocks))
	}
	follow := "function follow(id, current, show) {\n" + blocks[2][1] + "\nreturn source;\n}\n"
	script := filepath.Join(t.TempDir(), "page.mjs")
	if err := os.WriteFile(script, []byte(uiBrowser+blocks[0][1]+blocks[1][1]+follow+uiStory), 0o600); err != nil {
		t.Fatal(err)
	}
	e := startEdge(t, edgeOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, node, script, e.app.url).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all of it is so") {
		t.Errorf("%v\n%s", err, out)
	}
}
