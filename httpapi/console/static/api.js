// The one way to the service: the public API. The token lives in this module and nowhere else.
let token = '';
export const hasToken = () => token !== '';

// setToken takes what a person pasted. What can't be a token at all is refused here, because a browser can't even send it.
export function setToken(text) {
  const value = text.trim().replace(/^bearer\s+/i, '');
  if (!/^[\w.~+/=-]*$/.test(value)) return false;
  token = value;
  marks = [];
  return true;
}

// claims are what the token says of its bearer. They only choose what a screen offers; the service decides what is allowed.
export function claims() {
  try { return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0)))) || {}; } catch { return {}; }
}
export function may(...roles) {
  const own = [claims().role || []].flat();
  return own.length === 0 || own.some((role) => roles.includes(role));
}

const headers = (extra) => ({ Accept: 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}), ...extra });

// Refusals become errors that carry the problem document. Status 0: there was no answer.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The service answered with status ${status}.`);
    this.status = status;
    this.problem = problem;
  }

  // unsure tells whether a command may have been done all the same.
  get unsure() { return this.status === 0 || this.status >= 500; }
}

const patience = 40000; // milliseconds for an answer; the service gives up earlier

async function ask(path, options) {
  try {
    const response = await fetch(path, { ...options, signal: AbortSignal.timeout(patience) });
    return [response, await response.text()];
  } catch (error) {
    throw new Refused(0, error.name === 'TimeoutError' ? { detail: 'The service took too long to answer.', code: 'no_answer' } : { detail: 'The service can’t be reached.', code: 'unreachable' });
  }
}

function read([response, text]) {
  let value = null;
  try { value = text ? JSON.parse(text) : null; } catch { value = { title: text.slice(0, 200) }; }
  if (!response.ok) throw new Refused(response.status, { requestId: response.headers.get('X-Request-Id'), ...value });
  return value;
}

// The marks of this page's newest writes: each query waits until its state includes them.
let marks = [];
let blocked = false; // the last query that waited did so in vain

// look answers with {value, lag, stale}: lag is how many seconds the state is behind; stale says that this page's
// own writes aren't in it, because the read model is lagging or blocked. What there is gets shown all the same.
export async function look(path) {
  const answer = async (extra) => {
    const got = await ask(path, { headers: headers(extra) });
    return { value: read(got), lag: Number(got[0].headers.get('Tidemark-Lag')) || 0 };
  };
  if (marks.length === 0) return answer();
  try {
    const fresh = await answer({ Tidemark: marks.join(), Prefer: `wait=${blocked ? 0 : 5}` });
    blocked = false;
    return fresh;
  } catch (error) {
    if (error.problem.code !== 'stale_read_model') throw error;
    blocked = error.problem.state === 'blocked';
    return { ...await answer(), stale: error.problem.state || 'lagging' };
  }
}
export const get = async (path) => (await look(path)).value;

// newKey works on pages without TLS too, where crypto.randomUUID is missing.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');

// send does a command. The key belongs to what a person wants, not to the attempt: a repeat has the same.
export async function send({ method = 'POST', path, body, ifMatch }, key = newKey()) {
  const extra = { 'Idempotency-Key': key };
  if (body !== undefined) extra['Content-Type'] = 'application/json';
  if (ifMatch !== undefined) extra['If-Match'] = `"${ifMatch}"`;
  const got = await ask(path, { method, headers: headers(extra), body: body === undefined ? undefined : JSON.stringify(body) });
  const result = read(got);
  const mark = got[0].headers.get('Tidemark');
  if (mark) { marks = [...marks, mark].slice(-5); blocked = false; }
  return result;
}

// awake comes true when the page is on screen.
const awake = (signal) => new Promise((wake) => {
  if (!document.hidden || signal.aborted) { wake(); return; }
  document.addEventListener('visibilitychange', () => wake(), { once: true });
  signal.addEventListener('abort', () => wake(), { once: true });
});

// follow calls changed for each change of what a path shows, until the returned function is called. EventSource
// can't carry a token, so the stream is read from fetch. It comes back by itself after a break, and lets go of its
// connection while the page is out of sight: a browser has but six for all its pages.
export function follow(path, changed) {
  const control = new AbortController();
  let last = '';
  (async () => {
    for (let pause = 500; !control.signal.aborted; pause = Math.min(pause * 2, 10000)) {
      await awake(control.signal);
      const hidden = new AbortController();
      const hide = () => document.hidden && hidden.abort();
      document.addEventListener('visibilitychange', hide);
      try {
        const response = await fetch(path, { headers: headers({ Accept: 'text/event-stream', ...(last ? { 'Last-Event-ID': last } : {}) }), signal: AbortSignal.any([control.signal, hidden.signal]) });
        if (!response.ok) { if (response.status < 500 && response.status !== 429) return; throw new Error(response.statusText); }
        pause = 500;
        await frames(response.body, (frame) => {
          if (frame.id) last = frame.id;
          if (frame.event === 'reset') { last = ''; changed(null); } else if (frame.data) changed(JSON.parse(frame.data));
        });
      } catch { if (control.signal.aborted) return; } finally { document.removeEventListener('visibilitychange', hide); }
      if (!hidden.signal.aborted) await new Promise((wake) => setTimeout(wake, pause));
    }
  })();
  return () => control.abort();
}

async function frames(body, each) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    for (let end; (end = buffer.indexOf('\n\n')) >= 0; buffer = buffer.slice(end + 2)) {
      each(Object.fromEntries(buffer.slice(0, end).split('\n').filter((l) => l && l[0] !== ':').map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 1).trim()])));
    }
  }
}
