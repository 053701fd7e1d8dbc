// The frame: navigation by the address's fragment, what was just done, and the token box.
import { html, render, useState, useEffect, useRef } from '/console/vendor/htm-preact.js';
import { get, setToken, hasToken, claims, may } from '/console/api.js';
import { Problem } from '/console/parts.js';
import * as screens from '/console/screens.js';
import * as goods from '/console/goods.js';
import { Operations } from '/console/operations.js';

const staff = ['clerk', 'operator', 'auditor', 'service'];
const Home = (props) => (may(...staff) ? html`<${screens.Board} ...${props} />` : html`<${screens.Orders} ...${props} />`);
const routes = [
  [/^\/?$/, Home, 'Order desk'], [/^\/orders$/, screens.Orders, 'Orders'], [/^\/orders\/(.+)$/, screens.Order, 'Order'], [/^\/customers\/(.+)$/, screens.Customer, 'Customer'],
  [/^\/stock$/, goods.Stock, 'Stock'], [/^\/stock\/(.+)$/, goods.StockItem, 'Stock'], [/^\/accounts\/(.+)$/, screens.Account, 'Account'], [/^\/fulfilments$/, screens.Fulfilments, 'Fulfilments'],
  [/^\/sales$/, screens.Sales, 'Sales'], [/^\/catalogue$/, goods.Catalogue, 'Catalogue'], [/^\/catalogue\/(.+)$/, goods.Product, 'Product'], [/^\/audit$/, screens.Audit, 'Audit'], [/^\/operations$/, Operations, 'Operations'], [/^\/find\/(.+)$/, Found, 'Looking for'],
];
const menu = [['/', 'Order desk', staff], ['/orders', 'Orders'], ['/fulfilments', 'Fulfilments'], ['/stock', 'Stock', staff], ['/catalogue', 'Catalogue'], ['/sales', 'Sales', staff], ['/audit', 'Audit', ['operator', 'auditor']], ['/operations', 'Operations', ['operator', 'auditor']]];

function useHash() {
  const read = () => location.hash.slice(1) || '/';
  const [hash, setHash] = useState(read());
  useEffect(() => { const changed = () => setHash(read()); addEventListener('hashchange', changed); return () => removeEventListener('hashchange', changed); }, []);
  return hash;
}

// Token takes the bearer token; with a new one everything is read anew. An empty one signs out.
function Token({ changed }) {
  const [wrong, setWrong] = useState(false);
  const who = claims();
  const submit = (e) => {
    e.preventDefault();
    const taken = setToken(e.target.token.value);
    setWrong(!taken);
    if (!taken) return;
    e.target.reset();
    changed();
  };
  return html`<form class="token" onSubmit=${submit}><input name="token" type="password" autocomplete="off" placeholder=${hasToken() ? 'another token' : 'bearer token'} aria-label="Bearer token" aria-invalid=${wrong ? 'true' : undefined} title="Enter takes it; an empty one signs out" />
    ${wrong ? html`<small class="wrong" role="alert">That is no token.</small>` : hasToken() && html`<small class="who">${who.sub || 'signed in'}${who.role ? `, ${[who.role].flat().join(', ')}` : ''}</small>`}</form>`;
}

function Lookup() {
  return html`<form role="search" aria-label="Find" onSubmit=${(e) => { e.preventDefault(); const v = e.target.what.value.trim(); if (v) location.hash = `/find/${encodeURIComponent(v)}`; e.target.reset(); }}>
    <input name="what" type="search" placeholder="find by id or SKU" aria-label="Find an order, an account, a SKU or a customer" /></form>`;
}

// Found goes to whatever has the id: people copy ids from mails and don't know of what.
function Found({ id }) {
  const [error, setError] = useState(null);
  useEffect(() => {
    let wanted = true;
    const go = (to) => { if (wanted) location.replace(`#/${to}`); };
    const kinds = [['orders', 'orders'], ['accounts', 'accounts'], ['inventory', 'stock'], ['products', 'catalogue']].filter(([kind]) => /^[0-9a-f-]{36}$/i.test(id) === ['orders', 'accounts'].includes(kind));
    (async () => {
      for (const [kind, screen] of kinds) {
        const key = screen === kind ? id.toLowerCase() : id.toUpperCase();
        try { await get(`/v1/${kind}/${encodeURIComponent(key)}`); go(`${screen}/${encodeURIComponent(key)}`); return; } catch (e) { if (![400, 403, 404, 422].includes(e.status)) { setError(e); return; } }
      }
      go(`customers/${encodeURIComponent(id)}`);
    })();
    return () => { wanted = false; };
  }, [id]);
  return html`<h1>Looking for ${id}</h1><${Problem} error=${error} />`;
}

function Lost() {
  return html`<h1>There is no such page</h1><p>The menu above leads to all there are.</p>`;
}

// Said shows for a while what was done.
function Said() {
  const [text, setText] = useState('');
  useEffect(() => {
    let timer;
    const said = (e) => { setText(e.detail); clearTimeout(timer); timer = setTimeout(() => setText(''), 6000); };
    addEventListener('say', said);
    return () => { clearTimeout(timer); removeEventListener('say', said); };
  }, []);
  return html`<p class="said" role="status" hidden=${!text}>${text}</p>`;
}

// decoded is a part of the address; one that was typed wrong stands for itself.
const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };

function App() {
  const hash = useHash();
  const [tokens, setTokens] = useState(0);
  const main = useRef(null);
  const [path, search] = hash.split('?');
  const [pattern, Screen, title] = routes.find(([p]) => p.test(path)) || [/^$/, Lost, 'No such page'];
  const id = path.match(pattern)?.[1];
  const first = useRef(true);
  useEffect(() => {
    document.title = `${title}${id ? ` ${decoded(id)}` : ''} · Tidemark`;
    if (!first.current) { main.current.focus(); scrollTo(0, 0); }
    first.current = false;
  }, [path]);
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>Skip to the screen</a>
    <header><a class="brand" href="#/">Tidemark</a><nav aria-label="Screens">${menu.filter(([, , roles]) => !roles || may(...roles)).map(([to, name]) => html`<a href=${`#${to}`} class=${path === to || to !== '/' && path.startsWith(`${to}/`) ? 'here' : ''} aria-current=${path === to ? 'page' : undefined}>${name}</a>`)}<a href="/docs">API docs</a></nav><${Lookup} /><${Token} changed=${() => setTokens((n) => n + 1)} /></header>
    <main ref=${main} tabindex="-1"><${Screen} key=${`${tokens} ${path}`} id=${id && decoded(id)} query=${new URLSearchParams(search)} /></main><${Said} />`;
}

render(html`<${App} />`, document.getElementById('app'));
