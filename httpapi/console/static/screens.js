// One function a screen.
import { html, useState, useEffect } from '/console/vendor/htm-preact.js';
import { send, follow } from '/console/api.js';
import { money, time, short, Link, Status, Problem, useAnswer, Table, List, Act, Filters, filtered } from '/console/parts.js';

const at = encodeURIComponent;
const orderColumns = [
  ['Order', (o) => html`<${Link} to=${`/orders/${o.id}`}>${short(o.id)}<//>`],
  ['Customer', (o) => html`<${Link} to=${`/customers/${at(o.customerId)}`}>${o.customerId}<//>`],
  ['Status', (o) => html`<${Status} value=${o.status} />`],
  ['Pieces', (o) => o.totalItems, 'number'],
  ['Total', (o) => money(o.total, o.currency), 'number'],
  ['Created', (o) => time(o.createdAt)],
];

export function Board() {
  const [loaded, error, reload] = useAnswer('/v1/board', 15000);
  const [live, setLive] = useState(null);
  useEffect(() => follow('/v1/board', (b) => { if (b) setLive(b); else reload(); }), []);
  useEffect(() => setLive(null), [loaded]);
  const board = live || loaded;
  return html`<h1>Order desk</h1><${Problem} error=${error} />
    <div class="tiles">${statuses.map((status) => html`<a class=${`tile ${status}`} href=${`#/orders?status=${status}`}><b>${board?.counts[status]}</b>${status}</a>`)}</div>
    <h2>To ship</h2><${Table} columns=${orderColumns} rows=${board?.toShip} empty="Nothing waits to be shipped." />
    <h2>Waiting longest</h2><${Table} columns=${orderColumns} rows=${board?.oldestWaiting} empty="No confirmed order waits." />`;
}

const statuses = ['created', 'confirmed', 'prepared', 'shipped', 'cancelled'];
const period = [['from', 'From', 'date'], ['to', 'To', 'date']];

export const Orders = ({ query }) => html`<h1>Orders</h1>
  <${Filters} at="/orders" query=${query} fields=${[['status', 'Status', '', statuses], ['customerId', 'Customer'], ...period]} />
  <${List} path=${filtered('/v1/orders', query, ['status', 'customerId'], ['from', 'to'])} columns=${orderColumns} every=${5000} />`;

export function Order({ id }) {
  const path = `/v1/orders/${at(id)}`;
  const [loaded, error, reload] = useAnswer(path);
  const [changes, setChanges] = useState(0);
  const [live, setLive] = useState(null);
  useEffect(() => { setLive(null); return follow(path, (o) => { if (o) setLive(o); else reload(); setChanges((n) => n + 1); }); }, [path]);
  const order = live && (!loaded || live.revision >= loaded.revision) ? live : loaded;
  if (!order) return html`<h1>Order</h1><${Problem} error=${error} />`;
  const done = () => { reload(); setChanges((n) => n + 1); };
  return html`<h1>Order <code>${id}</code> <${Status} value=${order.status} /></h1><${Problem} error=${error} />
    <dl><dt>Customer</dt><dd><${Link} to=${`/customers/${at(order.customerId)}`}>${order.customerId}<//></dd>
      <dt>Account</dt><dd><${Link} to=${`/accounts/${at(order.accountId)}`}>${short(order.accountId)}<//></dd>
      <dt>Total</dt><dd>${money(order.total, order.currency)} for ${order.totalItems} pieces</dd>
      ${order.cancelReason && html`<dt>Cancelled</dt><dd>${order.cancelReason}</dd>`}
      ${order.trackingNumber && html`<dt>Shipped</dt><dd>${order.carrier} ${order.trackingNumber}</dd>`}
      <dt>Revision</dt><dd>${order.revision}</dd></dl>
    <p class="actions">${order.status === 'created' && html`<${Act} label="Confirm" action=${() => send('POST', `${path}/confirm`)} done=${done} />`}
      ${order.status === 'prepared' && html`<${Act} label="Ship" done=${done} action=${() => { const carrier = prompt('Carrier'); const trackingNumber = carrier && prompt('Tracking number'); return trackingNumber && send('POST', `${path}/ship`, { carrier, trackingNumber }); }} />`}
      ${['created', 'confirmed', 'prepared'].includes(order.status) && html`<${Act} danger label="Cancel" done=${done} action=${() => { const reason = prompt('Why is it cancelled?'); return reason && send('POST', `${path}/cancel`, { reason }); }} />`}</p>
    <h2>Lines</h2><${Table} rows=${order.items} columns=${[
      ['SKU', (l) => html`<${Link} to=${`/stock/${at(l.sku)}`}>${l.sku}<//>`], ['Name', (l) => l.name], ['Quantity', (l) => l.quantity, 'number'],
      ['Price', (l) => money(l.unitPrice, order.currency), 'number'], ['Line', (l) => money(l.lineTotal, order.currency), 'number']]} empty="No lines." />
    ${order.fulfilment && html`<h2>Fulfilment <${Status} value=${order.fulfilment.status} /></h2><${Steps} steps=${order.fulfilment.steps} />`}
    <h2>What happened</h2><${History} path=${path} changes=${changes} />`;
}

const Steps = ({ steps }) => html`<${Table} rows=${steps || []} columns=${[['Step', (s) => s.name], ['SKU', (s) => s.sku || ''], ['Status', (s) => s.status], ['Attempts', (s) => s.attempts, 'number'], ['At', (s) => time(s.at)]]} />`;
const History = ({ path, changes }) => html`<${List} path=${`${path}/history`} every=${5000} changes=${changes} columns=${[
  ['#', (e) => e.revision, 'number'], ['At', (e) => time(e.at)], ['Event', (e) => e.type], ['By', (e) => e.actor], ['Data', (e) => html`<code class="data">${JSON.stringify(e.data)}</code>`]]} />`;

export function Customer({ id }) {
  const [totals, error] = useAnswer(`/v1/customers/${at(id)}`, 5000);
  return html`<h1>Customer ${id}</h1><${Problem} error=${error} />
    <div class="tiles"><span class="tile"><b>${totals?.orders ?? ''}</b>orders</span><span class="tile"><b>${totals?.open ?? ''}</b>open</span>
    ${Object.entries(totals?.spent || {}).map(([currency, n]) => html`<span class="tile"><b>${money(n, currency)}</b>spent</span>`)}</div>
    <${List} path=${`/v1/customers/${at(id)}/orders`} columns=${orderColumns} every=${5000} empty="No orders yet." />`;
}

export function Stock() {
  const [low, setLow] = useState(false);
  return html`<h1>Stock</h1><p><label><input type="checkbox" checked=${low} onChange=${(e) => setLow(e.target.checked)} /> low stock only</label></p>
    <${List} path=${`/v1/inventory${low ? '?lowStock=true' : ''}`} every=${5000} columns=${[
      ['SKU', (s) => html`<${Link} to=${`/stock/${at(s.sku)}`}>${s.sku}<//>`], ['On hand', (s) => s.onHand, 'number'], ['Reserved', (s) => s.reserved, 'number'],
      ['Available', (s) => html`<span class=${s.lowStock ? 'low' : ''}>${s.available}</span>`, 'number']]} />`;
}

export function StockItem({ id }) {
  const [stock, error, reload] = useAnswer(`/v1/inventory/${at(id)}`, 5000);
  return html`<h1>${id}</h1><${Problem} error=${error} />
    <div class="tiles">${stock && ['onHand', 'reserved', 'available'].map((k) => html`<span class=${`tile ${k === 'available' && stock.lowStock ? 'low' : ''}`}><b>${stock[k]}</b>${k === 'onHand' ? 'on hand' : k}</span>`)}</div>
    <p class="actions"><${Act} label="Receive" done=${reload} action=${() => { const quantity = prompt('How many pieces?'); return quantity && send('POST', `/v1/inventory/${at(id)}/receipts`, { quantity: Number(quantity) || 0 }); }} /></p>
    <h2>What happened</h2><${History} path=${`/v1/inventory/${at(id)}`} />`;
}

export function Account({ id, query }) {
  const [account, error] = useAnswer(`/v1/accounts/${at(id)}`, 5000);
  return html`<h1>Account <code>${id}</code> ${account && html`<${Status} value=${account.status} />`}</h1><${Problem} error=${error} />
    ${account && html`<div class="tiles"><span class="tile"><b>${money(account.balance, account.currency)}</b>balance</span><span class="tile"><b>${money(account.available, account.currency)}</b>available</span></div>
    <p>Of customer <${Link} to=${`/customers/${at(account.customerId)}`}>${account.customerId}<//>.</p>`}
    <h2>Statement</h2><${Filters} at=${`/accounts/${at(id)}`} query=${query} fields=${period} />
    <${List} path=${filtered(`/v1/accounts/${at(id)}/statement`, query, [], ['from', 'to'])} every=${5000} columns=${[
      ['At', (e) => time(e.at)], ['Entry', (e) => e.type], ['Order', (e) => e.orderId && html`<${Link} to=${`/orders/${e.orderId}`}>${short(e.orderId)}<//>`],
      ['Amount', (e) => money(e.amount, account?.currency), 'number'], ['Balance', (e) => money(e.balance, account?.currency), 'number']]} empty="No entries." />`;
}

const age = (s) => (s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : s < 172800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`);

export const Fulfilments = ({ query }) => html`<h1>Fulfilments</h1>
  <${Filters} at="/fulfilments" query=${query} fields=${[['status', 'Status', '', ['running', 'prepared', 'completed', 'compensating', 'compensated']], ['olderThan', 'Older than (such as 10m)']]} />
  <${List} path=${filtered('/v1/fulfilments', query, ['status', 'olderThan'])} every=${3000} columns=${[
  ['Order', (f) => html`<${Link} to=${`/orders/${f.orderId}`}>${short(f.orderId)}<//>`], ['Status', (f) => html`<${Status} value=${f.status} />`], ['Reason', (f) => f.reason || ''],
  ['Steps', (f) => f.steps?.length, 'number'], ['Age', (f) => age(f.ageSeconds), 'number']]} empty="No fulfilment is under way." />`;

export const Sales = ({ query }) => html`<h1>Sales by day</h1><${Filters} at="/sales" query=${query} fields=${[...period, ['currency', 'Currency']]} />
  <${List} path=${filtered('/v1/sales', query, ['from', 'to', 'currency'])} every=${5000} columns=${[
  ['Day', (d) => d.day], ['Currency', (d) => d.currency], ...['created', 'confirmed', 'shipped', 'cancelled', 'units'].map((k) => [k, (d) => d[k], 'number']),
  ['Revenue', (d) => money(d.revenue, d.currency), 'number']]} empty="No sales yet." />`;

export const Catalogue = () => html`<h1>Catalogue</h1><${List} path="/v1/products" columns=${[
  ['SKU', (p) => html`<${Link} to=${`/stock/${at(p.sku)}`}>${p.sku}<//>`], ['Name', (p) => p.name], ['Price', (p) => money(p.unitPrice, p.currency), 'number'], ['Status', (p) => html`<${Status} value=${p.status} />`]]} />`;

// streamLink leads from a stream to the screen of what it is the history of.
const screenOf = { order: 'orders', fulfilment: 'orders', inventory: 'stock', product: 'stock', account: 'accounts' };
function StreamLink({ stream }) {
  const [, category, id] = /^([a-z]+)-(.+)$/.exec(stream) || [];
  return html`<${Link} to=${`/${screenOf[category]}/${at(id)}`}>${category} ${short(id)}<//>`;
}

export const Audit = ({ query }) => html`<h1>Audit</h1>
  <${Filters} at="/audit" query=${query} fields=${[['stream', 'Stream'], ['actor', 'Actor'], ['correlationId', 'Correlation id'], ['type', 'Event type'], ...period]} />
  <${List} path=${filtered('/v1/audit', query, ['stream', 'actor', 'correlationId', 'type'], ['from', 'to'])} every=${5000} columns=${[
  ['At', (e) => time(e.at)], ['Stream', (e) => html`<${StreamLink} stream=${e.stream} />`], ['#', (e) => e.revision, 'number'], ['Event', (e) => e.type], ['By', (e) => e.actor],
  ['Data', (e) => html`<code class="data">${JSON.stringify(e.data)}</code>`]]} />`;
