// The order desk and what surrounds it, one function a screen.
import { html } from '/console/vendor/htm-preact.js';
import { claims, may } from '/console/api.js';
import { money, time, short, at, age, Link, IdLink, Status, Tile, Problem, Freshness, useAnswer, useLive, Table, List, Act, Filters, filtered } from '/console/parts.js';
import { Ask, lineFields } from '/console/forms.js';
import { History, Then, Why, StreamLink, then } from '/console/history.js';
import { works } from '/console/goods.js';

const changes = () => may('customer', 'clerk', 'operator', 'service'); // a customer's own orders and accounts
const orderColumns = [
  ['Order', (o) => html`<${IdLink} to=${`/orders/${o.id}`} id=${o.id} />`],
  ['Customer', (o) => html`<${Link} to=${`/customers/${at(o.customerId)}`}>${o.customerId}<//>`],
  ['Status', (o) => html`<${Status} value=${o.status} />`],
  ['Pieces', (o) => o.totalItems, 'number'],
  ['Total', (o) => money(o.total, o.currency), 'number'],
  ['Created', (o) => time(o.createdAt)],
];
const statuses = ['created', 'confirmed', 'prepared', 'shipped', 'cancelled'];
const period = [['from', 'From', 'date'], ['to', 'To', 'date']];
const currencyField = { name: 'currency', label: 'Currency', required: true, value: 'EUR', max: 3 };

export function Board() {
  const [board, error, , state, turns] = useLive('/v1/board');
  return html`<h1>Order desk</h1><${Problem} error=${error} /><${Freshness} of=${state} />
    <div class="tiles">${statuses.map((status) => html`<a class=${`tile ${status}`} href=${`#/orders?status=${status}`}><b>${board?.counts[status] ?? ' '}</b>${status}</a>`)}</div>
    <h2>To ship</h2><${Table} label="To ship" columns=${orderColumns} rows=${board?.toShip} error=${error} empty="Nothing waits to be shipped." />
    <h2>Waiting longest</h2><${Table} label="Waiting longest" columns=${orderColumns} rows=${board?.oldestWaiting} error=${error} empty="No confirmed order waits." />
    <${Why} path="/v1/board" changes=${turns} />`;
}

// NewOrder begins with what is known of the order where the button is.
function NewOrder({ customerId, accountId, currency }) {
  return changes() && html`<${Ask} label="New order" title="New order" request=${({ items, ...body }) => ({ path: '/v1/orders', body: { ...body, items } })} done=${(order) => { location.hash = `/orders/${order.id}`; }}
    fields=${[{ name: 'customerId', label: 'Customer', required: true, value: customerId || claims().customer_id, max: 64 }, { name: 'accountId', label: 'Account', required: true, value: accountId }, { ...currencyField, value: currency || 'EUR' },
      { name: 'items', type: 'lines' }, { name: 'shippingAddress', label: 'Address', type: 'text' }, { name: 'note', label: 'Note', type: 'text' }]} />`;
}

function NewAccount({ customerId }) {
  return changes() && html`<${Ask} label="Open account" title="Open an account" request=${(body) => ({ path: '/v1/accounts', body })} done=${(account) => { location.hash = `/accounts/${account.id}`; }}
    fields=${[{ name: 'customerId', label: 'Customer', required: true, value: customerId || claims().customer_id, max: 64 }, currencyField, ...(works() ? [{ name: 'overdraftLimit', label: 'Overdraft limit', type: 'money' }] : [])]} />`;
}

export const Orders = ({ query }) => html`<h1>Orders</h1><p class="actions"><${NewOrder} /><${NewAccount} /></p>
  <${Filters} to="/orders" query=${query} fields=${[['status', 'Status', '', statuses], ['customerId', 'Customer'], ...period]} />
  <${List} label="Orders" to="/orders" query=${query} path=${filtered('/v1/orders', query, ['status', 'customerId'], ['from', 'to'])} columns=${orderColumns} every=${5000} empty="No order is like that." />`;

const addressOf = (address) => (typeof address === 'string' ? address : Object.values(address).join(', '));

export function Order({ id, query }) {
  const path = `/v1/orders/${at(id)}`;
  const here = `/orders/${at(id)}`;
  const past = then('', query);
  const [order, error, done, state, turns] = useLive(then(path, query), !past);
  return html`<h1>Order <code>${id}</code> ${order && html`<${Status} value=${order.status} />`}</h1><${Then} to=${here} query=${query} /><${Problem} error=${error} /><${Freshness} of=${state} />
    ${order && html`<dl><dt>Customer</dt><dd><${Link} to=${`/customers/${at(order.customerId)}`}>${order.customerId}<//></dd>
      <dt>Account</dt><dd><${IdLink} to=${`/accounts/${at(order.accountId)}`} id=${order.accountId} /></dd>
      <dt>Total</dt><dd>${money(order.total, order.currency)} for ${order.totalItems} ${order.totalItems === 1 ? 'piece' : 'pieces'}</dd>
      <dt>Created</dt><dd>${time(order.createdAt)}</dd>
      ${order.shippingAddress && html`<dt>Address</dt><dd class="free">${addressOf(order.shippingAddress)}</dd>`}
      ${order.note && html`<dt>Note</dt><dd class="free">${order.note}</dd>`}
      ${order.cancelledAt && html`<dt>Cancelled</dt><dd>${time(order.cancelledAt)}, ${order.cancelReason}</dd>`}
      ${order.trackingNumber && html`<dt>Shipped</dt><dd>${time(order.shippedAt)} by ${order.carrier}, ${order.trackingNumber}</dd>`}
      <dt>Revision</dt><dd>${order.revision}</dd></dl>
    ${!past && changes() && html`<${OrderActions} path=${path} order=${order} done=${done} />`}
    <h2>Lines</h2><${Table} label="Lines" rows=${order.items} empty="No lines." columns=${[
      ['SKU', (l) => html`<${Link} to=${`/${may('clerk', 'operator', 'auditor', 'service') ? 'stock' : 'catalogue'}/${at(l.sku)}`}>${l.sku}<//>`], ['Name', (l) => l.name], ['Quantity', (l) => l.quantity, 'number'],
      ['Price', (l) => money(l.unitPrice, order.currency), 'number'], ['Line', (l) => money(l.lineTotal, order.currency), 'number'],
      ...(!past && changes() && order.status === 'created' ? [['', (l) => html`<${RemoveLine} path=${path} order=${order} line=${l} done=${done} />`]] : [])]} />
    ${order.fulfilment && html`<${FulfilmentOf} order=${order} past=${past} done=${done} />`}`}
    <${Why} path=${path} query=${query} changes=${turns} /><${History} path=${path} to=${here} query=${query} changes=${turns} travels />`;
}

// OrderActions offers what the order's status allows. Confirming is agreeing to what the screen shows, so it names the revision.
function OrderActions({ path, order, done }) {
  const open = order.status === 'created';
  return html`<p class="actions">
    ${open && html`<${Act} label="Confirm" said="The order is confirmed." done=${done} request=${() => ({ path: `${path}/confirm`, ifMatch: order.revision })} />
      <${Ask} label="Add item" title="Add to the order" done=${done} fields=${lineFields.map((f) => (f.type === 'money' ? { ...f, currency: order.currency } : f))} request=${(body) => ({ path: `${path}/items`, body })} />`}
    ${order.status === 'prepared' && works() && html`<${Ask} label="Ship" title="Ship the order" said="The order is shipped." done=${done} request=${(body) => ({ path: `${path}/ship`, body })}
      fields=${[{ name: 'carrier', label: 'Carrier', required: true, max: 200 }, { name: 'trackingNumber', label: 'Tracking number', required: true, max: 200 }]} />`}
    ${['created', 'confirmed', 'prepared'].includes(order.status) && html`<${Ask} danger label="Cancel order" title="Cancel the order?" said="The order is cancelled." done=${done} fields=${[{ name: 'reason', label: 'Reason', required: true, max: 200 }]} request=${(body) => ({ path: `${path}/cancel`, body })} />`}</p>`;
}

const RemoveLine = ({ path, order, line, done }) => html`<${Ask} label="Remove" name=${`Remove ${line.sku}`} title=${`Remove ${line.sku}`} done=${done}
  fields=${[{ name: 'quantity', label: 'Pieces', type: 'number', hint: 'the whole line unless given' }]}
  request=${({ quantity }) => ({ method: 'DELETE', path: `${path}/items/${at(line.sku)}${quantity === undefined ? '' : `?quantity=${quantity}`}`, ifMatch: order.revision })} />`;

function FulfilmentOf({ order, past, done }) {
  const path = `/v1/fulfilments/${at(order.id)}`;
  const f = order.fulfilment;
  return html`<h2>Fulfilment <${Status} value=${f.status} /></h2>
    ${f.reason && html`<p>Because: ${f.reason}</p>`}
    ${!past && !f.endedAt && may('operator') && html`<p class="actions"><${Act} label="Try the next step now" said="The fulfilment is tried again." request=${() => ({ path: `${path}/retry` })} done=${done} />
      <${Ask} danger label="End by hand" title="End the fulfilment by hand?" text="For what can’t be mended otherwise. It is on record with the reason." fields=${[{ name: 'reason', label: 'Reason', required: true, max: 200 }]} request=${(body) => ({ path: `${path}/resolve`, body })} done=${done} /></p>`}
    <${Table} label="Steps" rows=${(f.steps || []).map((s) => ({ ...s, name: s.name, id: `${s.name} ${s.sku || ''}` }))} empty="No step yet." columns=${[['Step', (s) => s.name], ['SKU', (s) => s.sku || ''], ['Status', (s) => s.status], ['Attempts', (s) => s.attempts, 'number'], ['At', (s) => time(s.at)]]} />`;
}

export function Customer({ id, query }) {
  const path = `/v1/customers/${at(id)}`;
  const [totals, error, , state] = useAnswer(path, 5000);
  return html`<h1>Customer ${id}</h1><${Problem} error=${error} /><${Freshness} of=${state} />
    <div class="tiles"><${Tile} value=${totals?.orders} label="orders" /><${Tile} value=${totals?.open} label="open" />${Object.entries(totals?.spent || {}).map(([currency, n]) => html`<${Tile} value=${money(n, currency)} label="spent" />`)}</div>
    <p class="actions"><${NewOrder} customerId=${id} /><${NewAccount} customerId=${id} /></p>
    <${Filters} to=${`/customers/${at(id)}`} query=${query} fields=${[['status', 'Status', '', statuses]]} />
    <${List} label="Orders" to=${`/customers/${at(id)}`} query=${query} path=${filtered(`${path}/orders`, query, ['status'])} columns=${orderColumns} every=${5000} empty="No orders yet." />
    <${Why} path=${path} changes=${totals?.orders} />`;
}

export function Account({ id, query }) {
  const path = `/v1/accounts/${at(id)}`;
  const here = `/accounts/${at(id)}`;
  const past = then('', query);
  const [account, error, reload, state, turns] = useLive(then(path, query), !past);
  return html`<h1>Account <code>${id}</code> ${account && html`<${Status} value=${account.status} />`}</h1><${Then} to=${here} query=${query} /><${Problem} error=${error} /><${Freshness} of=${state} />
    ${account && html`<div class="tiles"><${Tile} value=${money(account.balance, account.currency)} label="balance" /><${Tile} value=${money(account.available, account.currency)} label="available" />
      ${account.overdraftLimit > 0 && html`<${Tile} value=${money(account.overdraftLimit, account.currency)} label="overdraft limit" />`}</div>
    <p>Of customer <${Link} to=${`/customers/${at(account.customerId)}`}>${account.customerId}<//>.</p>
    ${!past && account.status === 'open' && changes() && html`<${AccountActions} path=${path} account=${account} done=${reload} />`}`}
    <h2>Statement</h2><${Filters} to=${here} query=${query} fields=${period} />
    <${List} label="Statement" to=${here} query=${query} path=${filtered(`${path}/statement`, query, [], ['from', 'to'])} changes=${turns} columns=${[
      ['At', (e) => time(e.at)], ['Entry', (e) => e.type], ['Order', (e) => html`<${IdLink} to=${`/orders/${e.orderId}`} id=${e.orderId} />`], ['Why', (e) => e.reason || e.reference || ''],
      ['Amount', (e) => money(e.amount, e.currency || account?.currency), 'number'], ['Balance', (e) => money(e.balance, e.currency || account?.currency), 'number']]} empty="No entries." />
    <${Why} path=${path} query=${query} changes=${turns} /><${History} path=${path} to=${here} query=${query} changes=${turns} folded travels />`;
}

function AccountActions({ path, account, done }) {
  const { currency } = account;
  const amount = { name: 'amount', label: `Amount in ${currency}`, type: 'money', required: true, currency };
  const reference = { name: 'reference', label: 'Reference', max: 200 };
  const entry = (kind) => (body) => ({ path: `${path}/${kind}`, body: { ...body, currency } });
  return html`<p class="actions"><${NewOrder} customerId=${account.customerId} accountId=${account.id} currency=${currency} />
    <${Ask} label="Deposit" title="Deposit" fields=${[amount, reference]} request=${entry('deposits')} done=${done} />
    <${Ask} label="Withdraw" title="Withdraw" fields=${[amount, reference]} request=${entry('withdrawals')} done=${done} />
    ${works() && html`<${Ask} label="Credit" title="Credit" fields=${[amount, { name: 'reason', label: 'Reason', required: true, max: 200 }, reference]} request=${entry('credits')} done=${done} />`}
    <${Ask} danger label="Close account" title="Close the account?" text="A closed account takes nothing any more, and stays closed." said="The account is closed." request=${() => ({ path: `${path}/close`, ifMatch: account.revision })} done=${done} /></p>`;
}

export const Fulfilments = ({ query }) => html`<h1>Fulfilments</h1>
  <${Filters} to="/fulfilments" query=${query} fields=${[['status', 'Status', '', ['running', 'prepared', 'completed', 'compensating', 'compensated']], ['olderThan', 'Older than (such as 10m)']]} />
  <${List} label="Fulfilments" to="/fulfilments" query=${query} path=${filtered('/v1/fulfilments', query, ['status', 'olderThan'])} every=${3000} columns=${[
  ['Order', (f) => html`<${IdLink} to=${`/orders/${f.orderId}`} id=${f.orderId} />`], ['Status', (f) => html`<${Status} value=${f.status} />`], ['Reason', (f) => f.reason || ''], ['Waits for', (f) => f.waitsFor || ''],
  ['Steps', (f) => `${(f.steps || []).filter((s) => s.status === 'done').length} of ${(f.steps || []).length}`, 'number'], ['Age', (f) => age(f.ageSeconds), 'number']]} empty="No fulfilment is like that." />`;

export const Sales = ({ query }) => html`<h1>Sales by day</h1><${Filters} to="/sales" query=${query} fields=${[...period, ['currency', 'Currency']]} />
  <${List} label="Sales" to="/sales" query=${query} path=${filtered('/v1/sales', query, ['from', 'to', 'currency'])} every=${5000} columns=${[
  ['Day (UTC)', (d) => d.day], ['Currency', (d) => d.currency], ...['Created', 'Confirmed', 'Shipped', 'Cancelled', 'Units'].map((k) => [k, (d) => d[k.toLowerCase()], 'number']),
  ['Revenue', (d) => money(d.revenue, d.currency), 'number']]} empty="No sales then." />`;

export const Audit = ({ query }) => html`<h1>Audit</h1>
  <${Filters} to="/audit" query=${query} fields=${[['stream', 'Stream'], ['actor', 'Actor'], ['correlationId', 'Correlation id'], ['type', 'Event type'], ...period]} />
  <${List} label="Events" to="/audit" query=${query} path=${filtered('/v1/audit', query, ['stream', 'actor', 'correlationId', 'type'], ['from', 'to'])} every=${5000} empty="No event is like that." columns=${[
  ['At', (e) => time(e.at)], ['Stream', (e) => html`<${StreamLink} stream=${e.stream} />`], ['#', (e) => e.revision, 'number'], ['Event', (e) => e.type], ['By', (e) => e.actor],
  ['Request', (e) => html`<a href=${`#/audit?correlationId=${at(e.correlationId)}`} title=${e.correlationId}>${short(e.correlationId)}</a>`],
  ['Data', (e) => html`<code class="data">${JSON.stringify(e.data)}</code>`]]} />`;
