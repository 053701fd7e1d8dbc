// What is sold and what is there: catalogue and stock.
import { html } from '/console/vendor/htm-preact.js';
import { may } from '/console/api.js';
import { money, plain, time, at, Link, IdLink, Status, Tile, Problem, Freshness, useLive, List, Filters, filtered } from '/console/parts.js';
import { Ask } from '/console/forms.js';
import { History, Then, Why, then } from '/console/history.js';

export const works = () => may('clerk', 'operator', 'service');
const quantity = { name: 'quantity', label: 'Pieces', type: 'number', required: true };
const currency = { name: 'currency', label: 'Currency', required: true, value: 'EUR', max: 3 };

export const Stock = ({ query }) => html`<h1>Stock</h1>
  ${works() && html`<p class="actions"><${Ask} label="Receive" title="Receive goods" request=${({ sku, ...body }) => ({ path: `/v1/inventory/${at(sku)}/receipts`, body })}
    fields=${[{ name: 'sku', label: 'SKU', required: true, list: 'skus' }, quantity, { name: 'reference', label: 'Delivery note', max: 200 }]} done=${(stock) => { location.hash = `/stock/${at(stock.sku)}`; }} /></p>`}
  <${Filters} to="/stock" query=${query} fields=${[['lowStock', 'low stock only', 'checkbox']]} />
  <${List} label="Stock" to="/stock" query=${query} path=${filtered('/v1/inventory', query, ['lowStock'])} every=${5000} columns=${[
    ['SKU', (s) => html`<${Link} to=${`/stock/${at(s.sku)}`}>${s.sku}<//>`], ['On hand', (s) => s.onHand, 'number'], ['Reserved', (s) => s.reserved, 'number'],
    ['Available', (s) => html`<span class=${s.lowStock ? 'low' : ''}>${s.available}${s.lowStock ? ' low' : ''}</span>`, 'number']]} />`;

export function StockItem({ id, query }) {
  const path = `/v1/inventory/${at(id)}`;
  const [stock, error, reload, state, changes] = useLive(then(path, query), !then('', query));
  const command = (kind) => (body) => ({ path: `${path}/${kind}`, body });
  return html`<h1>Stock of ${id}</h1><${Then} to=${`/stock/${at(id)}`} query=${query} /><${Problem} error=${error} /><${Freshness} of=${state} />
    ${stock && html`<div class="tiles"><${Tile} value=${stock.onHand} label="on hand" /><${Tile} value=${stock.reserved} label="reserved" /><${Tile} value=${stock.available} label=${stock.lowStock ? 'available, low' : 'available'} low=${stock.lowStock} /></div>`}
    <p><${Link} to=${`/catalogue/${at(id)}`}>In the catalogue<//></p>
    ${works() && !then('', query) && html`<p class="actions">
      <${Ask} label="Receive" title=${`Receive ${id}`} done=${reload} request=${command('receipts')} fields=${[quantity, { name: 'reference', label: 'Delivery note', max: 200 }]} />
      <${Ask} label="Damage" danger title=${`Write off ${id}`} done=${reload} request=${command('damages')} fields=${[quantity, { name: 'reason', label: 'Reason', required: true, max: 200 }]} />
      <${Ask} label="Reserve" title=${`Reserve ${id}`} done=${reload} request=${command('reservations')} fields=${[{ name: 'orderId', label: 'Order', required: true }, quantity]} />
      <${Ask} label="Release" title=${`Release what an order has reserved of ${id}`} done=${reload} request=${({ orderId }) => ({ method: 'DELETE', path: `${path}/reservations/${at(orderId)}` })} fields=${[{ name: 'orderId', label: 'Order', required: true }]} /></p>`}
    <h2>Movements</h2><${List} label="Movements" to=${`/stock/${at(id)}`} query=${query} path=${`${path}/movements`} changes=${changes} empty="Nothing has moved yet." columns=${[
      ['#', (m) => html`<${Link} to=${`/stock/${at(id)}?revision=${m.revision}`} title="Stock as it was then">${m.revision}<//>`, 'number'], ['At', (m) => time(m.at)], ['Movement', (m) => m.type], ['Pieces', (m) => m.quantity, 'number'],
      ['Order', (m) => html`<${IdLink} to=${`/orders/${m.orderId}`} id=${m.orderId} />`], ['Why', (m) => m.reference || m.reason || ''],
      ['On hand', (m) => m.onHand, 'number'], ['Reserved', (m) => m.reserved, 'number'], ['Available', (m) => m.available, 'number']]} />
    <${Why} path=${path} query=${query} changes=${changes} /><${History} path=${path} to=${`/stock/${at(id)}`} query=${query} changes=${changes} folded travels />`;
}

export const Catalogue = ({ query }) => html`<h1>Catalogue</h1>
  ${works() && html`<p class="actions"><${Ask} label="New product" title="New product" request=${(body) => ({ path: '/v1/products', body })} done=${(product) => { location.hash = `/catalogue/${at(product.sku)}`; }}
    fields=${[{ name: 'sku', label: 'SKU', required: true, max: 64, hint: 'capitals, digits, . _ -' }, { name: 'name', label: 'Name', required: true, max: 200 }, { name: 'unitPrice', label: 'Price', type: 'money', required: true }, currency]} /></p>`}
  <${List} label="Catalogue" to="/catalogue" query=${query} path="/v1/products" every=${5000} empty="No product is listed yet." columns=${[
    ['SKU', (p) => html`<${Link} to=${`/catalogue/${at(p.sku)}`}>${p.sku}<//>`], ['Name', (p) => p.name], ['Price', (p) => money(p.unitPrice, p.currency), 'number'], ['Status', (p) => html`<${Status} value=${p.status} />`]]} />`;

export function Product({ id, query }) {
  const path = `/v1/products/${at(id)}`;
  const [product, error, reload, state, changes] = useLive(path);
  return html`<h1>${product ? product.name : id} ${product && html`<${Status} value=${product.status} />`}</h1><${Problem} error=${error} /><${Freshness} of=${state} />
    ${product && html`<dl><dt>SKU</dt><dd>${product.sku}</dd><dt>Price</dt><dd>${money(product.unitPrice, product.currency)}</dd><dt>Revision</dt><dd>${product.revision}</dd></dl>`}
    ${may('clerk', 'operator', 'auditor', 'service') && html`<p><${Link} to=${`/stock/${at(id)}`}>Stock<//></p>`}
    ${product?.status === 'listed' && works() && html`<p class="actions">
      <${Ask} label="Change price" title=${`Price of ${product.name}`} done=${reload} request=${(body) => ({ path: `${path}/price`, body })}
        fields=${[{ name: 'unitPrice', label: 'Price', type: 'money', required: true, value: plain(product.unitPrice, product.currency) }, { ...currency, value: product.currency }]} />
      <${Ask} label="Withdraw" danger title=${`Withdraw ${product.name}?`} text="It can't be ordered any more, and not be listed again." done=${reload} request=${() => ({ path: `${path}/withdraw` })} /></p>`}
    <${Why} path=${path} changes=${changes} />${may('clerk', 'operator', 'auditor', 'service') && html`<${History} path=${path} to=${`/catalogue/${at(id)}`} query=${query} changes=${changes} />`}`;
}
