// The one way to the service: the public API. The token lives in this module and nowhere else.
let token = '';
export const setToken = (value) => { token = value.trim(); };
export const hasToken = () => token !== '';

const headers = (extra) => ({ Accept: 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}), ...extra });

// Refusals become errors that carry the problem document.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

// The marks of this page's own writes: each query waits until its state includes them.
let tidemark = '';

export async function get(path) {
  const response = await fetch(path, { headers: headers(tidemark ? { Tidemark: tidemark, Prefer: 'wait=5' } : {}) });
  return read(response);
}

export async function send(method, path, body) {
  const extra = { 'Idempotency-Key': crypto.randomUUID() };
  if (body !== undefined) extra['Content-Type'] = 'application/json';
  const response = await fetch(path, { method, headers: headers(extra), body: body === undefined ? undefined : JSON.stringify(body) });
  const result = await read(response);
  tidemark = response.headers.get('Tidemark') || tidemark;
  return result;
}

async function read(response) {
  const text = await response.text();
  let value = null;
  try { value = text ? JSON.parse(text) : null; } catch { value = { title: text.slice(0, 200) }; }
  if (!response.ok) throw new Refused(response.status, value || {});
  return value;
}

// follow calls changed for each change of what a path shows, until the returned function is called. EventSource
// can't carry a token, so the stream is read from fetch. It comes back by itself after a break.
export function follow(path, changed) {
  const control = new AbortController();
  let last = '';
  (async () => {
    for (let pause = 500; !control.signal.aborted; pause = Math.min(pause * 2, 10000)) {
      try {
        const response = await fetch(path, { headers: headers({ Accept: 'text/event-stream', ...(last ? { 'Last-Event-ID': last } : {}) }), signal: control.signal });
        if (!response.ok) { if (response.status < 500 && response.status !== 429) return; throw new Error(response.statusText); }
        pause = 500;
        const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
        let buffer = '';
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          buffer += value;
          for (let end; (end = buffer.indexOf('\n\n')) >= 0; buffer = buffer.slice(end + 2)) {
            const frame = Object.fromEntries(buffer.slice(0, end).split('\n').filter((l) => l && l[0] !== ':').map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 1).trim()]));
            if (frame.id) last = frame.id;
            if (frame.event === 'reset') { last = ''; changed(null); } else if (frame.data) changed(JSON.parse(frame.data));
          }
        }
      } catch { if (control.signal.aborted) return; }
      await new Promise((wake) => setTimeout(wake, pause));
    }
  })();
  return () => control.abort();
}
