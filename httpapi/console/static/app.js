// The frame: navigation by the address's fragment, and the token box.
import { html, render, useState, useEffect } from '/console/vendor/htm-preact.js';
import { setToken, hasToken } from '/console/api.js';
import * as screens from '/console/screens.js';

const routes = [
  [/^\/?$/, screens.Board], [/^\/orders$/, screens.Orders], [/^\/orders\/(.+)$/, screens.Order], [/^\/customers\/(.+)$/, screens.Customer],
  [/^\/stock$/, screens.Stock], [/^\/stock\/(.+)$/, screens.StockItem], [/^\/accounts\/(.+)$/, screens.Account], [/^\/fulfilments$/, screens.Fulfilments],
  [/^\/sales$/, screens.Sales], [/^\/catalogue$/, screens.Catalogue], [/^\/audit$/, screens.Audit], [/^\/operations$/, screens.Operations],
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
  return html`<form onSubmit=${(e) => { e.preventDefault(); const v = e.target.what.value.trim(); if (v) location.hash = /^[0-9a-f-]{36}$/.test(v) ? `/orders/${v}` : `/customers/${encodeURIComponent(v)}`; e.target.reset(); }}>
    <input name="what" placeholder="order id or customer" aria-label="Order id or customer" /></form>`;
}

function App() {
  const hash = useHash();
  const [path, search] = hash.split('?');
  const [pattern, Screen] = routes.find(([p]) => p.test(path)) || routes[0];
  const id = path.match(pattern)?.[1];
  return html`<header><a class="brand" href="#/">Tidemark</a><nav>${menu.map(([to, name]) => html`<a href=${`#${to}`} class=${path === to ? 'here' : ''}>${name}</a>`)}<a href="/docs">API docs</a></nav><${Lookup} /><${Token} /></header>
    <main><${Screen} key=${path} id=${id && decodeURIComponent(id)} query=${new URLSearchParams(search)} /></main>`;
}

render(html`<${App} />`, document.getElementById('app'));
