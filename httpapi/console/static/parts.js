// Small parts that all screens are made of.
import { html, useState, useEffect, useCallback } from '/console/vendor/htm-preact.js';
import { get } from '/console/api.js';

export const money = (minor, currency) => {
  if (minor === undefined || minor === null) return '';
  const digits = new Intl.NumberFormat('en', { style: 'currency', currency: currency || 'EUR' }).resolvedOptions().maximumFractionDigits;
  return new Intl.NumberFormat('en', { style: 'currency', currency: currency || 'EUR' }).format(minor / 10 ** digits);
};
export const time = (text) => (text ? new Date(text).toLocaleString([], { dateStyle: 'short', timeStyle: 'medium' }) : '');
export const short = (id) => (id && id.length > 18 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id);
export const Link = ({ to, children }) => html`<a href=${`#${to}`}>${children}</a>`;
export const Status = ({ value }) => html`<span class=${`status ${value}`}>${value}</span>`;
export const Problem = ({ error }) => error && html`<p class="problem" role="alert">${error.message}${error.problem?.code ? html` <code>${error.problem.code}</code>` : ''}</p>`;

// useAnswer reads a path, and again whenever it is told to.
export function useAnswer(path, every) {
  const [state, setState] = useState({});
  const load = useCallback(() => {
    let current = true;
    if (path) get(path).then((value) => current && setState({ value }), (error) => current && setState((old) => ({ ...old, error })));
    return () => { current = false; };
  }, [path]);
  useEffect(() => { setState({}); return load(); }, [load]);
  useEffect(() => { if (!every) return undefined; const timer = setInterval(load, every); return () => clearInterval(timer); }, [load, every]);
  return [state.value, state.error, load];
}

const keyOf = (row) => row.id || row.sku || row.orderId || row.name || row.group || (row.stream ? `${row.stream}@${row.revision}` : row.day ? row.day + row.currency : row.revision);

export const Table = ({ columns, rows, empty }) => html`<div class="scroll"><table>
  <thead><tr>${columns.map(([name, , kind]) => html`<th class=${kind || ''}>${name}</th>`)}</tr></thead>
  <tbody>${(rows || []).map((row) => html`<tr key=${keyOf(row)}>${columns.map(([, cell, kind]) => html`<td class=${kind || ''}>${cell(row)}</td>`)}</tr>`)}
  ${rows && rows.length === 0 ? html`<tr><td class="empty" colspan=${columns.length}>${empty || 'Nothing here.'}</td></tr>` : ''}</tbody></table></div>`;

// List pages through a list answer.
export function List({ path, columns, empty, every, changes }) {
  const [trail, setTrail] = useState(['']);
  useEffect(() => setTrail(['']), [path]);
  const cursor = trail[trail.length - 1];
  const [page, error, reload] = useAnswer(path + (path.includes('?') ? '&' : '?') + 'limit=50' + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''), cursor ? 0 : every);
  useEffect(() => { if (changes) reload(); }, [changes]);
  return html`<${Problem} error=${error} /><${Table} columns=${columns} rows=${page?.items} empty=${empty} />
    <p class="pages">${trail.length > 1 && html`<button onClick=${() => setTrail(trail.slice(0, -1))}>Back</button>`}
    ${page?.nextCursor && html`<button onClick=${() => setTrail([...trail, page.nextCursor])}>More</button>`}</p>`;
}

// Filters are fields whose values are part of the address, so that what one sees can be sent to somebody.
// A field is [name, label, type, choices]; dates are whole UTC days, the last one included.
export function Filters({ at, query, fields }) {
  const change = (name, value) => {
    const next = new URLSearchParams(query);
    if (value) next.set(name, value); else next.delete(name);
    location.hash = at + (next.size ? `?${next}` : '');
  };
  return html`<form class="filters" onSubmit=${(e) => e.preventDefault()}>${fields.map(([name, label, type, choices]) => html`<label>${label} ${choices
    ? html`<select value=${query.get(name) || ''} onChange=${(e) => change(name, e.target.value)}><option value="">all</option>${choices.map((c) => html`<option value=${c}>${c}</option>`)}</select>`
    : html`<input type=${type || 'text'} value=${query.get(name) || ''} onChange=${(e) => change(name, e.target.value.trim())} />`}</label>`)}</form>`;
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

// Act is a button that does one command and says what came of it. An action that gives nothing was called off.
export function Act({ label, danger, action, done }) {
  const [state, setState] = useState({});
  const run = () => {
    const work = action();
    if (!work) return;
    setState({ busy: true });
    work.then((answer) => { setState({}); if (done) done(answer); }, (error) => setState({ error }));
  };
  return html`<span><button class=${danger ? 'danger' : ''} disabled=${state.busy} onClick=${run}>${label}</button><${Problem} error=${state.error} /></span>`;
}
