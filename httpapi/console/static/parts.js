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

export const Table = ({ columns, rows, empty }) => html`<div class="scroll"><table>
  <thead><tr>${columns.map(([name, , kind]) => html`<th class=${kind || ''}>${name}</th>`)}</tr></thead>
  <tbody>${(rows || []).map((row) => html`<tr key=${row.id || row.sku || row.revision}>${columns.map(([, cell, kind]) => html`<td class=${kind || ''}>${cell(row)}</td>`)}</tr>`)}
  ${rows && rows.length === 0 ? html`<tr><td class="empty" colspan=${columns.length}>${empty || 'Nothing here.'}</td></tr>` : ''}</tbody></table></div>`;

// List pages through a list answer.
export function List({ path, columns, empty, every }) {
  const [trail, setTrail] = useState(['']);
  useEffect(() => setTrail(['']), [path]);
  const cursor = trail[trail.length - 1];
  const [page, error] = useAnswer(path + (path.includes('?') ? '&' : '?') + 'limit=50' + (cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''), cursor ? 0 : every);
  return html`<${Problem} error=${error} /><${Table} columns=${columns} rows=${page?.items} empty=${empty} />
    <p class="pages">${trail.length > 1 && html`<button onClick=${() => setTrail(trail.slice(0, -1))}>Back</button>`}
    ${page?.nextCursor && html`<button onClick=${() => setTrail([...trail, page.nextCursor])}>More</button>`}</p>`;
}

// Act is a button that does one command and says what came of it.
export function Act({ label, danger, action, done }) {
  const [state, setState] = useState({});
  const run = () => {
    setState({ busy: true });
    action().then(() => { setState({}); if (done) done(); }, (error) => setState({ error }));
  };
  return html`<span><button class=${danger ? 'danger' : ''} disabled=${state.busy} onClick=${run}>${label}</button><${Problem} error=${state.error} /></span>`;
}
