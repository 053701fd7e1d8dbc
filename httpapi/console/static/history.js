// What happened to something, how it was at a time, and why it shows what it shows.
import { html, useState } from '/console/vendor/htm-preact.js';
import { may } from '/console/api.js';
import { time, at, short, Link, Problem, useAnswer, Table, List, Filters, place } from '/console/parts.js';

// then puts the moment that an address names behind a path of the API.
export function then(path, query) {
  if (query.get('revision')) return `${path}?revision=${at(query.get('revision'))}`;
  return query.get('asOf') ? `${path}?asOf=${at(query.get('asOf'))}` : path;
}

// Then says so while one looks at a moment that has passed.
export function Then({ to, query }) {
  const moment = query.get('revision') ? html`at revision ${query.get('revision')}` : query.get('asOf') && html`on ${time(query.get('asOf'))}`;
  return moment && html`<p class="stale" role="status">This is how it was ${moment}. <a href=${place(to, query, { revision: '', asOf: '' })}>Back to now</a></p>`;
}

// History lists the events. The number of one leads to how things were then.
export function History({ path, to, query, changes, folded, travels }) {
  const list = html`<${List} label="What happened" name="events" path=${`${path}/history`} to=${to} query=${query} changes=${changes} every=${5000} columns=${[
    ['#', (e) => (!travels ? e.revision : html`<${Link} to=${`${to}?revision=${e.revision}`} title="As it was then">${e.revision}<//>`), 'number'], ['At', (e) => time(e.at)], ['Event', (e) => e.type], ['By', (e) => e.actor],
    ['Data', (e) => html`<code class="data">${JSON.stringify(e.data)}</code>`]]} />`;
  return html`${travels && html`<${Filters} label="Time travel" to=${to} query=${query} fields=${[['asOf', 'Show it as it was on', 'datetime-local']]} />`}
    ${folded ? html`<${Fold} label="What happened" open=${query.has('events')}>${list}<//>` : html`<h2>What happened</h2>${list}`}`;
}

// Fold shows something only once it is asked for.
export function Fold({ label, children, open: already = false }) {
  const [open, setOpen] = useState(already);
  return html`<details open=${open} onToggle=${(e) => setOpen(e.target.open)}><summary>${label}</summary>${open && children}</details>`;
}

// streamLink leads from a stream to the screen of what it is the history of.
const screenOf = { order: 'orders', fulfilment: 'orders', inventory: 'stock', product: 'catalogue', account: 'accounts' };
export function StreamLink({ stream }) {
  const [, category, id] = /^([a-z]+)-(.+)$/.exec(stream) || [];
  return screenOf[category] ? html`<${Link} to=${`/${screenOf[category]}/${at(id)}`} title=${stream}>${category} ${short(id)}<//>` : stream;
}

// Why names the events behind each field of what a path shows, the newest first.
export const Why = ({ path, query = new URLSearchParams(), changes }) => html`<${Fold} label="Why does it show this?"><${Reasons} key=${changes} path=${then(path, query)} /><//>`;

function Reasons({ path }) {
  const [answer, error] = useAnswer(`${path}${path.includes('?') ? '&' : '?'}explain=true`);
  const rows = answer && Object.entries(answer.explain?.fields || {}).flatMap(([field, causes]) => causes.slice(-5).reverse().map((cause, i) => ({ ...cause, name: `${field} ${cause.eventId} ${i}`, field: i ? '' : field, more: i === 4 && causes.length > 5 ? causes.length - 5 : 0 })));
  return html`<${Problem} error=${error} /><${Table} label="Why" rows=${rows} error=${error} empty="No event has made anything of this yet." columns=${[
    ['Field', (c) => html`<code>${c.field}</code>`], ['Event', (c) => html`${c.type}${c.more ? html` <small>and ${c.more} before</small>` : ''}`], ['#', (c) => c.revision, 'number'], ['Of', (c) => html`<${StreamLink} stream=${c.stream} />`], ['At', (c) => time(c.at)], ['By', (c) => c.actor],
    ...(may('operator', 'auditor') ? [['Request', (c) => html`<${Link} to=${`/audit?correlationId=${at(c.correlationId)}`} title=${c.correlationId}>${short(c.correlationId)}<//>`]] : [])]} />`;
}
