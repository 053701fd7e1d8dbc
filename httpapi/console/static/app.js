// The frame: navigation by the address's fragment, and the token box.
import { html, render, useState, useEffect } from '/console/vendor/htm-preact.js';
import { get, setToken, hasToken } from '/console/api.js';
import { Problem } from '/console/parts.js';
import * as screens from '/console/screens.js';
import { Operations } from '/console/operations.js';

const routes = [
  [/^\/?$/, screens.Board], [/^\/orders$/, screens.Orders], [/^\/orders\/(.+)$/, screens.Order], [/^\/customers\/(.+)$/, screens.Customer],
  [/^\/stock$/, screens.Stock], [/^\/stock\/(.+)$/, screens.StockItem], [/^\/accounts\/(.+)$/, screens.Account], [/^\/fulfilments$/, screens.Fulfilments],
  [/^\/sales$/, screens.Sales], [/^\/catalogue$/, screens.Catalogue], [/^\/audit$/, screens.Audit], [/^\/operations$/, Operations], [/^\/find\/(.+)$/, Found],
];
const menu = [['/', 'Order desk'], ['/orders', 'Orders'], ['/fulfilments', 'Fulfilments'], ['/stock', 'Stock'], ['/catalogue', 'Catalogue'], ['/sales', 'Sales'], ['/audit', 'Audit'], ['/operations', 'Operations']];

function useHash() {
  const read = () => location.hash.slice(1) || '/';
  const [hash, setHash] = useState(read());
  useEffect(() => { const changed = () => setHash(read()); addEventListener('hashchange', changed); return () => removeEventListener('hashchange', changed); }, []);
  return hash;
}

function Token() {
  const [given, setGiven] = useState(hasToken());
  return html`<form class="token" onSubmit=${(e) => { e.preventDefault(); setToken(e.target.token.value); setGiven(hasToken()); dispatchEvent(new HashChangeEvent('hashchange')); }}>
    <input name="token" type="password" autocomplete="off" placeholder=${given ? 'token set' : 'bearer token, if asked for'} aria-label="Bearer token" /></form>`;
}

function Lookup() {
  return html`<form onSubmit=${(e) => { e.preventDefault(); const v = e.target.what.value.trim(); if (v) location.hash = `/find/${encodeURIComponent(v)}`; e.target.reset(); }}>
    <input name="what" placeholder="order, account, SKU, customer" aria-label="Find an order, an account, a SKU or a customer" /></form>`;
}

// Found goes to whatever has the id: people copy ids from mails and don't know of what.
function Found({ id }) {
  const [error, setError] = useState(null);
  useEffect(() => {
    const kinds = [['orders', 'orders'], ['accounts', 'accounts'], ['inventory', 'stock']].filter(([kind]) => /^[0-9a-f-]{36}$/i.test(id) === (kind !== 'inventory'));
    (async () => {
      for (const [kind, screen] of kinds) {
        const key = kind === 'inventory' ? id.toUpperCase() : id.toLowerCase();
        try { await get(`/v1/${kind}/${encodeURIComponent(key)}`); location.replace(`#/${screen}/${encodeURIComponent(key)}`); return; } catch (e) { if (![400, 404, 422].includes(e.status)) { setError(e); return; } }
      }
      location.replace(`#/customers/${encodeURIComponent(id)}`);
    })();
  }, [id]);
  return html`<h1>Looking for ${id}</h1><${Problem} error=${error} />`;
}

function Lost() {
  return html`<h1>There is no such page</h1><p>The menu above leads to all there are.</p>`;
}

// decoded is a part of the address; one that was typed wrong stands for itself.
const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

function App() {
  const hash = useHash();
  const [path, search] = hash.split('?');
  const [pattern, Screen] = routes.find(([p]) => p.test(path)) || [/^$/, Lost];
  const id = path.match(pattern)?.[1];
  return html`<header><a class="brand" href="#/">Tidemark</a><nav>${menu.map(([to, name]) => html`<a href=${`#${to}`} class=${path === to || to !== '/' && path.startsWith(`${to}/`) ? 'here' : ''} aria-current=${path === to ? 'page' : undefined}>${name}</a>`)}<a href="/docs">API docs</a></nav><${Lookup} /><${Token} /></header>
    <main><${Screen} key=${path} id=${id && decoded(id)} query=${new URLSearchParams(search)} /></main>`;
}

render(html`<${App} />`, document.getElementById('app'));
