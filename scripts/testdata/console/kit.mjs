// What all parts of the walk use: services, the browser, and a page that notices what a person would not.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { chromium } from 'playwright-core';

const here = import.meta.dirname;
const running = new Set();
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); }); // whatever happens, nothing stays behind
const patience = 60000; // milliseconds; a loaded machine is slow, a wrong page never gets there

// begin starts a tidemark process and resolves once its output has the pattern.
export function begin(args, env, pattern) {
  const child = spawn(`${here}/tidemark`, args, { cwd: here, env: { ...process.env, TIDEMARK_NODE_ADDR: '127.0.0.1:0', TIDEMARK_HTTP_ADDR: '127.0.0.1:0', TIDEMARK_LOG_LEVEL: 'error', TIDEMARK_DATA_DIR: mkdtempSync(`${here}/data-`), ...env } });
  running.add(child);
  child.on('exit', () => running.delete(child));
  return new Promise((done, failed) => {
    let text = '';
    const read = (chunk) => { text += chunk; const found = pattern.exec(text); if (found) done({ child, found, text: () => text }); };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('exit', (code) => failed(new Error(`tidemark ${args.join(' ')} ended with ${code}: ${text}`)));
  });
}

export async function serve(env = {}) {
  const service = await begin(['serve'], env, /API +(http:\S+)\/v1[^]*console/);
  return { ...service, base: service.found[1], node: /esdb:\/\/([^?]*)\?/.exec(service.text())?.[1] };
}

export async function demo(base, orders, token = '') {
  const child = spawn(`${here}/tidemark`, ['demo', '--api', base, '--orders', String(orders), '--customers', '8', '--seed', '7'], { env: { ...process.env, TIDEMARK_API_TOKEN: token }, stdio: 'ignore' });
  running.add(child);
  child.on('exit', () => running.delete(child));
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`the demo ended with ${code}`);
}

export async function endAll() {
  await Promise.all([...running].map((child) => { const gone = once(child, 'exit'); child.kill('SIGTERM'); setTimeout(() => child.kill('SIGKILL'), 15000).unref(); return gone; }));
}

export const secret = 'a secret of thirty-two bytes or more';
export const secretFile = () => { const file = `${here}/secret`; writeFileSync(file, secret); return file; };
export function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp: Math.floor(Date.now() / 1000) + 3600, ...claims })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

// api speaks to the service beside the browser, as another session would.
export const api = (base, bearer) => async (method, path, body) => {
  const response = await fetch(base + path, { method, headers: { ...(body ? { 'Content-Type': 'application/json' } : {}), ...(bearer ? { Authorization: `Bearer ${bearer}` } : {}) }, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
  return answer;
};

// append writes an event that no release knows straight into the event store, by its gRPC protocol.
export async function append(node, stream, type) {
  const field = (n, bytes) => Buffer.concat([Buffer.from([n << 3 | 2, bytes.length]), bytes]); // all shorter than 128 bytes
  const pair = (key, value) => field(2, Buffer.concat([field(1, Buffer.from(key)), field(2, Buffer.from(value))]));
  const frame = (message) => { const head = Buffer.alloc(5); head.writeUInt32BE(message.length, 1); return Buffer.concat([head, message]); };
  const options = field(1, Buffer.concat([field(1, field(3, Buffer.from(stream))), field(4, Buffer.alloc(0))]));
  const proposed = Buffer.concat([field(1, field(2, Buffer.from(crypto.randomUUID()))), pair('type', type), pair('content-type', 'application/json'), field(4, Buffer.from('{}'))]);
  const session = http2.connect(`http://${node}`);
  const call = session.request({ ':method': 'POST', ':path': '/event_store.client.streams.Streams/Append', 'content-type': 'application/grpc', te: 'trailers' });
  let status;
  call.on('trailers', (trailers) => { status = trailers['grpc-status']; });
  call.on('response', (head) => { status ??= head['grpc-status']; });
  call.end(Buffer.concat([frame(options), frame(Buffer.concat([Buffer.from([2 << 3 | 2, ...(proposed.length > 127 ? [proposed.length & 127 | 128, proposed.length >> 7] : [proposed.length])]), proposed]))]));
  call.resume();
  await once(call, 'end');
  session.close();
  if (status !== '0') throw new Error(`the append to ${stream} ended with status ${status}`);
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'] });

// expected are complaints of the browser about answers that a step provokes: it reports every status above 399 as an error.
const expected = /Failed to load resource: (the server responded with a status of|net::ERR_)/;

// open gives a page of a service that keeps account of errors, of violations of the content policy, and of requests to others.
export async function open(browser, base, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-GB', timezoneId: 'Europe/Berlin', ...options });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type()) && !expected.test(m.text())) complaints.push(`${m.type()}: ${m.text()}`); });
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('dialog', (dialog) => { complaints.push(`a ${dialog.type()} of the browser: ${dialog.message()}`); dialog.dismiss(); });
  context.on('request', (request) => { if (!request.url().startsWith(base) && !/^(data|blob):/.test(request.url())) complaints.push(`a request to ${request.url()}`); });
  await page.addInitScript(() => { document.addEventListener('securitypolicyviolation', (e) => console.error(`content policy: ${e.violatedDirective} ${e.blockedURI}`)); });
  const at = (hash) => page.goto(`${base}/console#${hash}`);
  return { page, context, complaints, base, at, ...hands(page) };
}

// hands are what a person does and sees.
function hands(page) {
  const button = (name) => page.getByRole('button', { name, exact: true });
  const sees = (text, options) => page.getByText(text, options).first().waitFor();
  const row = (text) => page.getByRole('row').filter({ hasText: text }).first();
  const dialog = page.getByRole('dialog');
  const fill = async (fields) => { for (const [label, value] of Object.entries(fields)) await dialog.getByLabel(label).first().fill(value); };
  const press = (name) => dialog.getByRole('button', { name, exact: true }).click();
  const said = (text) => page.locator('.said').filter({ hasText: text }).waitFor();
  // use opens the dialog of a button, fills it in, and does it.
  const use = async (name, fields = {}, { label = name } = {}) => { await button(name).click(); await fill(fields); await press(label); await dialog.waitFor({ state: 'detached' }); };
  const tile = (label, value) => page.locator('.tile', { hasText: label }).filter({ hasText: value }).first().waitFor();
  const status = (value) => page.locator('h1 .status', { hasText: value }).waitFor();
  return { button, sees, row, dialog, fill, press, said, use, tile, status };
}

export function must(truth, complaint) { if (!truth) throw new Error(complaint); }

// until waits for what has no element to wait for.
export async function until(what, complaint) {
  const deadline = Date.now() + patience;
  for (;;) {
    if (await what()) return;
    if (Date.now() > deadline) throw new Error(complaint);
    await new Promise((wake) => { setTimeout(wake, 50); });
  }
}
