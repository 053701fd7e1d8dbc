// One function a screen.
import { html, useState, useEffect } from '/console/vendor/htm-preact.js';
import { send, follow } from '/console/api.js';
import { money, time, short, Link, Status, Problem, useAnswer, Table, List, Act } from '/console/parts.js';

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
  const [board, error] = useAnswer('/v1/board', 3000);
  return html`<h1>Order desk</h1><${Problem} error=${error} />
    <div class="tiles">${['created', 'confirmed', 'prepared', 'shipped', 'cancelled'].map((status) => html`<a class=${`tile ${status}`} href=${`#/orders?status=${status}`}><b>${board?.counts[status]}</b>${status}</a>`)}</div>
    <h2>To ship</h2><${Table} columns=${orderColumns} rows=${board?.toShip} empty="Nothing waits to be shipped." />
    <h2>Waiting longest</h2><${Table} columns=${orderColumns} rows=${board?.oldestWaiting} empty="No confirmed order waits." />`;
}

export function Orders({ query }) {
  const [status, setStatus] = useState(query.get('status') || '');
  useEffect(() => setStatus(query.get('status') || ''), [query.get('status')]);
  return html`<h1>Orders</h1><p><label>Status <select value=${status} onChange=${(e) => { location.hash = e.target.value ? `/orders?status=${e.target.value}` : '/orders'; }}>
    <option value="">all</option>${['created', 'confirmed', 'prepared', 'shipped', 'cancelled'].map((s) => html`<option value=${s}>${s}</option>`)}</select></label></p>
    <${List} path=${`/v1/orders${status ? `?status=${status}` : ''}`} columns=${orderColumns} every=${5000} />`;
}

export function Order({ id }) {
  const path = `/v1/orders/${at(id)}`;
  const [loaded, error, reload] = useAnswer(path);
  const [history, , reloadHistory] = useAnswer(`${path}/history?limit=200`);
  const [live, setLive] = useState(null);
  useEffect(() => { setLive(null); return follow(path, (o) => { if (o) setLive(o); else reload(); reloadHistory(); }); }, [path]);
  const order = live && (!loaded || live.revision >= loaded.revision) ? live : loaded;
  if (!order) return html`<h1>Order</h1><${Problem} error=${error} />`;
  const done = () => { reload(); reloadHistory(); };
  return html`<h1>Order <code>${id}</code> <${Status} value=${order.status} /></h1><${Problem} error=${error} />
    <dl><dt>Customer</dt><dd><${Link} to=${`/customers/${at(order.customerId)}`}>${order.customerId}<//></dd>
      <dt>Account</dt><dd><${Link} to=${`/accounts/${at(order.accountId)}`}>${short(order.accountId)}<//></dd>
      <dt>Total</dt><dd>${money(order.total, order.currency)} for ${order.totalItems} pieces</dd>
      ${order.cancelReason && html`<dt>Cancelled</dt><dd>${order.cancelReason}</dd>`}
      ${order.trackingNumber && html`<dt>Shipped</dt><dd>${order.carrier} ${order.trackingNumber}</dd>`}
      <dt>Revision</dt><dd>${order.revision}</dd></dl>
    <p class="actions">${order.status === 'created' && html`<${Act} label="Confirm" action=${() => send('POST', `${path}/confirm`)} done=${done} />`}
      ${order.status === 'prepared' && html`<${Act} label="Ship" done=${done} action=${() => send('POST', `${path}/ship`, { carrier: 'Harbour Express', trackingNumber: prompt('Tracking number') || '' })} />`}
      ${['created', 'confirmed', 'prepared'].includes(order.status) && html`<${Act} danger label="Cancel" done=${done} action=${() => send('POST', `${path}/cancel`, { reason: prompt('Reason') || '' })} />`}</p>
    <h2>Lines</h2><${Table} rows=${order.items} columns=${[
      ['SKU', (l) => html`<${Link} to=${`/stock/${at(l.sku)}`}>${l.sku}<//>`], ['Name', (l) => l.name], ['Quantity', (l) => l.quantity, 'number'],
      ['Price', (l) => money(l.unitPrice, order.currency), 'number'], ['Line', (l) => money(l.lineTotal, order.currency), 'number']]} empty="No lines." />
    ${order.fulfilment && html`<h2>Fulfilment <${Status} value=${order.fulfilment.status} /></h2><${Steps} steps=${order.fulfilment.steps} />`}
    <h2>What happened</h2><${History} page=${history} />`;
}

const Steps = ({ steps }) => html`<${Table} rows=${steps || []} columns=${[['Step', (s) => s.name], ['SKU', (s) => s.sku || ''], ['Status', (s) => s.status], ['Attempts', (s) => s.attempts, 'number'], ['At', (s) => time(s.at)]]} />`;
const History = ({ page }) => html`<${Table} rows=${page?.items} columns=${[
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
  const [history] = useAnswer(`/v1/inventory/${at(id)}/history?limit=200`, 5000);
  return html`<h1>${id}</h1><${Problem} error=${error} />
    <div class="tiles">${stock && ['onHand', 'reserved', 'available'].map((k) => html`<span class=${`tile ${k === 'available' && stock.lowStock ? 'low' : ''}`}><b>${stock[k]}</b>${k === 'onHand' ? 'on hand' : k}</span>`)}</div>
    <p class="actions"><${Act} label="Receive" done=${reload} action=${() => send('POST', `/v1/inventory/${at(id)}/receipts`, { quantity: Number(prompt('How many pieces?')) || 0 })} /></p>
    <h2>What happened</h2><${History} page=${history} />`;
}

export function Account({ id }) {
  const [account, error] = useAnswer(`/v1/accounts/${at(id)}`, 5000);
  return html`<h1>Account <code>${id}</code> ${account && html`<${Status} value=${account.status} />`}</h1><${Problem} error=${error} />
    ${account && html`<div class="tiles"><span class="tile"><b>${money(account.balance, account.currency)}</b>balance</span><span class="tile"><b>${money(account.available, account.currency)}</b>available</span></div>
    <p>Of customer <${Link} to=${`/customers/${at(account.customerId)}`}>${account.customerId}<//>.</p>`}
    <h2>Statement</h2><${List} path=${`/v1/accounts/${at(id)}/statement`} columns=${[
      ['At', (e) => time(e.at)], ['Entry', (e) => e.type], ['Order', (e) => e.orderId && html`<${Link} to=${`/orders/${e.orderId}`}>${short(e.orderId)}<//>`],
      ['Amount', (e) => money(e.amount, account?.currency), 'number'], ['Balance', (e) => money(e.balance, account?.currency), 'number']]} empty="No entries." />`;
}

export const Fulfilments = () => html`<h1>Fulfilments</h1><${List} path="/v1/fulfilments" every=${3000} columns=${[
  ['Order', (f) => html`<${Link} to=${`/orders/${f.orderId}`}>${short(f.orderId)}<//>`], ['Status', (f) => html`<${Status} value=${f.status} />`], ['Reason', (f) => f.reason || ''],
  ['Steps', (f) => f.steps?.length, 'number'], ['Age', (f) => `${Math.round(f.ageSeconds)} s`, 'number']]} empty="No fulfilment is under way." />`;

export const Sales = () => html`<h1>Sales by day</h1><${List} path="/v1/sales" every=${5000} columns=${[
  ['Day', (d) => d.day], ['Currency', (d) => d.currency], ...['created', 'confirmed', 'shipped', 'cancelled', 'units'].map((k) => [k, (d) => d[k], 'number']),
  ['Revenue', (d) => money(d.revenue, d.currency), 'number']]} empty="No sales yet." />`;

export const Catalogue = () => html`<h1>Catalogue</h1><${List} path="/v1/products" columns=${[
  ['SKU', (p) => html`<${Link} to=${`/stock/${at(p.sku)}`}>${p.sku}<//>`], ['Name', (p) => p.name], ['Price', (p) => money(p.unitPrice, p.currency), 'number'], ['Status', (p) => html`<${Status} value=${p.status} />`]]} />`;

export const Audit = () => html`<h1>Audit</h1><${List} path="/v1/audit" every=${5000} columns=${[
  ['At', (e) => time(e.at)], ['Stream', (e) => short(e.stream)], ['#', (e) => e.revision, 'number'], ['Event', (e) => e.type], ['By', (e) => e.actor],
  ['Data', (e) => html`<code class="data">${JSON.stringify(e.data)}</code>`]]} />`;

export function Operations() {
  const [models, error] = useAnswer('/v1/ops/readmodels', 2000);
  const [groups, groupError] = useAnswer('/v1/ops/subscriptions', 2000);
  return html`<h1>Operations</h1><h2>Read models</h2><${Problem} error=${error} /><${Table} rows=${models?.items} columns=${[
      ['Name', (m) => m.name], ['Generation', (m) => m.generation, 'number'], ['State', (m) => html`<${Status} value=${m.state} />`], ['Lag', (m) => m.lagEvents, 'number'],
      ['Behind', (m) => `${Number(m.lagSeconds).toFixed(1)} s`, 'number'], ['Rate', (m) => `${Math.round(m.eventsPerSecond)}/s`, 'number'], ['Blocked', (m) => m.blocked, 'number']]} />
    <h2>Subscriptions</h2><${Problem} error=${groupError} /><${Table} rows=${groups?.items} columns=${[
      ['Group', (g) => g.group], ['Status', (g) => g.status], ['Position', (g) => g.position], ['In flight', (g) => g.inFlight, 'number'], ['Parked', (g) => g.parked, 'number'], ['Consumers', (g) => g.consumers, 'number']]} />`;
}
