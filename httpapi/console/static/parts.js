// Small parts that all screens are made of.
import { html, useState, useEffect, useCallback, useRef } from '/console/vendor/htm-preact.js';
import { look, follow, send, newKey, Refused } from '/console/api.js';

export const digitsOf = (currency) => {
  try { return new Intl.NumberFormat('en', { style: 'currency', currency: currency || 'EUR' }).resolvedOptions().maximumFractionDigits; } catch { return 2; }
};
// plain writes minor units as a decimal number, exactly.
export const plain = (minor, currency) => {
  const digits = digitsOf(currency);
  const text = String(Math.abs(minor)).padStart(digits + 1, '0');
  return (minor < 0 ? '-' : '') + (digits ? `${text.slice(0, -digits)}.${text.slice(-digits)}` : text);
};
export const money = (minor, currency) => {
  if (minor === undefined || minor === null) return '';
  return new Intl.NumberFormat('en', { style: 'currency', currency: currency || 'EUR' }).format(plain(minor, currency));
};
export const Time = ({ at }) => at && html`<time datetime=${at} title=${`${at.replace('T', ' ').replace(/\.\d+Z$/, '')} UTC`}>${new Date(at).toLocaleString([], { dateStyle: 'short', timeStyle: 'medium' })}</time>`;
export const time = (at) => html`<${Time} at=${at} />`;
export const short = (id) => (id && id.length > 18 && /^[0-9a-f-]{36}$/.test(id) ? `${id.slice(0, 8)}…${id.slice(-6)}` : id);
export const at = encodeURIComponent;
export const Link = ({ to, children, title }) => html`<a href=${`#${to}`} title=${title}>${children}</a>`;
export const IdLink = ({ to, id }) => id && html`<${Link} to=${to} title=${id}>${short(id)}<//>`;
export const Status = ({ value }) => html`<span class=${`status ${value}`}>${value}</span>`;
export const Tile = ({ value, label, low }) => html`<span class=${`tile ${low ? 'low' : ''}`}><b>${value ?? ' '}</b>${label}</span>`;

// Problem says what went wrong in a sentence, with the code and the request's id for whoever is asked about it.
export const Problem = ({ error }) => error && html`<div class="problem" role="alert"><p>${error.message}</p>
  ${(error.problem?.errors || []).length > 1 && html`<ul>${error.problem.errors.map((e) => html`<li><code>${e.pointer}</code> ${e.detail}</li>`)}</ul>`}
  ${error.status === 401 && html`<p>Put a bearer token into the box at the top.</p>`}
  <p class="ids">${error.problem?.code && html`<code>${error.problem.code}</code>`} ${error.problem?.requestId && html`request <code>${error.problem.requestId}</code>`}</p></div>`;

// Freshness says so when what is shown is older than it should be.
export const Freshness = ({ of }) => {
  if (of?.stale === 'blocked') return html`<p class="stale" role="status">Your last change isn’t in here yet: this screen is blocked until an operator has repaired it.</p>`;
  if (of?.stale) return html`<p class="stale" role="status">Your last change isn’t in here yet: this screen is catching up.</p>`;
  return of?.lag >= 10 && html`<p class="stale" role="status">This screen is ${age(of.lag)} behind.</p>`;
};
export const age = (s) => (s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`);

// useAnswer reads a path, again whenever it is told to, and every so many milliseconds while the page is on screen. Of
// answers that overtake each other the newest question's stays; of an entity's states the one of the highest revision.
export function useAnswer(path, every) {
  const [state, setState] = useState({});
  const turns = useRef({ asked: 0, shown: 0, pending: 0 }).current;
  const show = useCallback((answer) => setState((old) => (answer.value?.revision < old.value?.revision ? { ...old, error: undefined } : { ...answer, path })), [path]);
  const load = useCallback(() => {
    if (!path) return;
    const turn = ++turns.asked;
    const mine = () => { turns.pending--; if (turn < turns.shown) return false; turns.shown = turn; return true; };
    turns.pending++;
    look(path).then((answer) => mine() && show(answer), (error) => mine() && setState((old) => ({ ...old, error })));
  }, [path]);
  useEffect(() => { turns.shown = turns.asked + 1; setState({}); load(); }, [load]);
  useEffect(() => {
    if (!every) return undefined;
    const again = () => { if (!document.hidden && turns.pending === 0) load(); };
    const timer = setInterval(again, every);
    document.addEventListener('visibilitychange', again);
    return () => { clearInterval(timer); document.removeEventListener('visibilitychange', again); };
  }, [load, every]);
  return [state.value, state.error, load, state, show];
}

// useLive follows a path as it changes, and looks from time to time whether the service is there at all.
export function useLive(path, live = true) {
  const [value, error, load, state, show] = useAnswer(path, live ? 15000 : 0);
  const [changes, setChanges] = useState(0);
  const again = useCallback(() => { load(); setChanges((n) => n + 1); }, [load]);
  useEffect(() => (live && path ? follow(path, (changed) => { if (changed) show({ value: changed }); else load(); setChanges((n) => n + 1); }) : undefined), [path, live]);
  return [value, error, again, state, changes];
}

const keyOf = (row) => row.id || row.sku || row.orderId || row.name || row.group || (row.stream ? `${row.stream}@${row.revision}` : row.day ? row.day + row.currency : row.revision);

export const Table = ({ columns, rows, empty, label, error }) => html`<div class="scroll"><table aria-label=${label}>
  <thead><tr>${columns.map(([name, , kind]) => html`<th scope="col" class=${kind || ''}>${name || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
  <tbody>${(rows || []).map((row) => html`<tr key=${keyOf(row)}>${columns.map(([name, cell, kind]) => html`<td class=${kind || ''} data-label=${name}>${cell(row)}</td>`)}</tr>`)}
  ${rows ? rows.length === 0 && html`<tr><td class="empty" colspan=${columns.length}>${empty || 'Nothing here.'}</td></tr>` : !error && html`<tr><td class="empty" colspan=${columns.length}>Loading …</td></tr>`}</tbody></table></div>`;

// place is an address with some of its parameters changed; those without a value go.
export function place(to, query, change) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(change)) if (value) next.set(name, value); else next.delete(name);
  return `#${to}${next.size ? `?${next}` : ''}`;
}

// List shows a list answer page by page. The page is part of the address, so that one can come back to it.
export function List({ path, columns, empty, every, changes, to, query, label, name = 'cursor' }) {
  const cursor = query.get(name);
  const [page, error, reload, state] = useAnswer(path + (path.includes('?') ? '&' : '?') + 'limit=50' + (cursor ? `&cursor=${at(cursor)}` : ''), cursor ? 0 : every);
  useEffect(() => { if (changes) reload(); }, [changes]);
  return html`<${Problem} error=${error} /><${Freshness} of=${state} /><${Table} columns=${columns} rows=${page?.items} empty=${empty} label=${label} error=${error} />
    <p class="pages">${cursor && html`<a class="button" href=${place(to, query, { [name]: '' })}>First page</a>`}
    ${page?.nextCursor && html`<a class="button" href=${place(to, query, { [name]: page.nextCursor })}>More</a>`}</p>`;
}

const local = (iso) => { const day = new Date(iso); return Number.isNaN(day.getTime()) ? '' : new Date(day.getTime() - day.getTimezoneOffset() * 60000).toISOString().slice(0, 19); };
const instant = (text) => { const day = new Date(text); return Number.isNaN(day.getTime()) ? '' : day.toISOString(); };

// Typed is an input that takes effect once it is left. What is being typed stays, however often the screen is drawn.
function Typed({ type, value, change }) {
  const input = useRef(null);
  useEffect(() => { input.current.value = value; }, [value]);
  return html`<input ref=${input} type=${type} step=${type === 'datetime-local' ? 1 : undefined} onChange=${(e) => change(e.target.value)} />`;
}

// Filters are fields whose values are part of the address, so that what one sees can be sent to somebody.
// A field is [name, label, type, choices]; dates are whole UTC days, the last one included.
export function Filters({ to, query, fields, label }) {
  const change = (name, value) => { location.hash = place(to, query, { [name]: value, cursor: '' }); };
  const field = ([name, text, type, choices]) => {
    const value = query.get(name) || '';
    if (choices) return html`<label>${text} <select value=${value} onChange=${(e) => change(name, e.target.value)}><option value="">all</option>${choices.map((c) => html`<option value=${c}>${c}</option>`)}</select></label>`;
    if (type === 'checkbox') return html`<label><input type="checkbox" checked=${value === 'true'} onChange=${(e) => change(name, e.target.checked ? 'true' : '')} /> ${text}</label>`;
    const days = type === 'date' ? 'Whole days in UTC' : undefined;
    return html`<label title=${days}>${text} <${Typed} type=${type || 'text'} value=${type === 'datetime-local' ? local(value) : value} change=${(typed) => change(name, type === 'datetime-local' ? instant(typed) : typed.trim())} /></label>`;
  };
  return html`<form class="filters" role="search" aria-label=${label || 'Filter'} onSubmit=${(e) => e.preventDefault()}>${fields.map(field)}</form>`;
}

// filtered puts the filters of an address behind a path of the API. Times mean whole days there.
export function filtered(path, query, names, times = []) {
  const asked = new URLSearchParams();
  for (const name of names) if (query.get(name)) asked.set(name, query.get(name));
  for (const name of times) {
    const day = new Date(`${query.get(name)}T00:00:00Z`);
    if (query.get(name) && !Number.isNaN(day.getTime())) asked.set(name, new Date(day.getTime() + (name === 'to' ? 86400000 : 0)).toISOString());
  }
  return path + (asked.size ? `?${asked}` : '');
}

// say tells what was done, for everybody: the frame shows it for a while and screen readers read it out.
export const say = (text) => dispatchEvent(new CustomEvent('say', { detail: text }));

// useCommand gives a function that sends one command at a time. While nobody knows whether it was done, the same
// request has the same key, so that pressing again can't do it twice.
export function useCommand() {
  const intent = useRef({});
  const [busy, setBusy] = useState(false);
  const run = async (request) => {
    if (intent.current.running) return null;
    const print = JSON.stringify([request.method, request.path, request.body]);
    if (intent.current.print !== print) intent.current = { print, key: newKey(), request };
    intent.current.running = true;
    setBusy(true);
    try {
      const answer = await send(intent.current.request, intent.current.key);
      intent.current = {};
      return answer;
    } catch (error) {
      intent.current = error instanceof Refused && error.unsure ? { ...intent.current, running: false } : {};
      throw error;
    } finally { setBusy(false); }
  };
  return [run, busy];
}

// Act is a button that does one command and says what came of it.
export function Act({ label, name, danger, request, done, said }) {
  const [run, busy] = useCommand();
  const [error, setError] = useState(null);
  const press = () => run(request()).then((answer) => {
    if (!answer) return;
    setError(null);
    say(said || `${label}: done.`);
    done?.(answer);
  }, setError);
  return html`<span><button type="button" class=${danger ? 'danger' : ''} aria-label=${name} aria-disabled=${busy} onClick=${press}>${label}</button><${Problem} error=${error} /></span>`;
}
