// When something is down, behind or in the way: the screens say so, and go on by themselves afterwards.
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { api, begin, must, open, serve, until } from './kit.mjs';

const problem = (status, code, detail, more = {}) => ({ status, contentType: 'application/problem+json', headers: { 'X-Request-Id': 'r-7' }, body: JSON.stringify({ title: 'Trouble', status, code, detail, requestId: 'r-7', ...more }) });

export default async function walk(browser, step) {
  const dir = mkdtempSync(`${import.meta.dirname}/node-`);
  let node = await begin(['node'], { TIDEMARK_DATA_DIR: dir }, /esdb:\/\/([^?]*)\?tls=false/);
  const address = node.found[1];
  const service = await serve({ TIDEMARK_EVENTSTORE: `esdb://${address}?tls=false` });
  const call = api(service.base);
  await call('POST', '/v1/products', { sku: 'SEA-1', name: 'Sea', unitPrice: 100, currency: 'EUR' });
  await call('POST', '/v1/inventory/SEA-1/receipts', { quantity: 30 });
  const order = await call('POST', '/v1/orders', { customerId: 'sea', accountId: crypto.randomUUID(), currency: 'EUR', items: [{ sku: 'SEA-1', quantity: 1 }] });
  const { page, at, button, sees, row, dialog, fill, press, tile, use, status, complaints } = await open(browser, service.base);

  await step('without the event store screens answer and commands say that they can’t', async () => {
    await at(`/orders/${order.id}`);
    await status('created');
    const gone = once(node.child, 'exit');
    node.child.kill('SIGKILL');
    await gone;
    await button('Confirm').click();
    await sees('event_store_unavailable');
    await page.locator('.ids', { hasText: /request \S+/ }).first().waitFor();
    await at('/orders');
    await row('sea').waitFor();
    await at('/catalogue');
    await row('SEA-1').waitFor();
  });
  await step('what is shown says how old it is once that matters', async () => {
    await at('/stock');
    await page.getByText(/This screen is \d+ s behind\./).waitFor({ timeout: 60000 });
  });
  await step('when the event store is back, the same button works, and the screens are up to date', async () => {
    node = await begin(['node'], { TIDEMARK_DATA_DIR: dir, TIDEMARK_NODE_ADDR: address }, /esdb:/);
    await at(`/orders/${order.id}`);
    await until(async () => { await button('Confirm').click(); await page.waitForTimeout(500); return await button('Confirm').count() === 0; }, 'it is never confirmed');
    await status('cancelled'); // nobody has the account that was to pay
    await at('/stock/SEA-1');
    await tile('on hand', '30');
    await page.locator('.stale').waitFor({ state: 'detached', timeout: 60000 });
  });
  await step('without the read store lists say so, and come back by themselves', async () => {
    await page.route('**/v1/orders?*', (route) => route.fulfill(problem(503, 'read_store_unavailable', 'The read store can’t be reached.')));
    await at('/orders');
    await sees('The read store can’t be reached.');
    await sees('read_store_unavailable');
    await sees('r-7');
    must(await page.getByText('Loading …').count() === 0, 'it says that it is loading');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await row('sea').waitFor();
    await page.locator('.problem').waitFor({ state: 'detached' });
  });
  for (const [state, words] of [['lagging', 'is catching up'], ['blocked', 'is blocked until an operator']]) {
    await step(`own writes that aren’t there yet are told: ${state}`, async () => {
      await at('/stock/SEA-1');
      await use('Receive', { Pieces: '1' });
      let waited = 0;
      await page.route('**/v1/inventory?*', (route) => { if (!route.request().headers().tidemark) return route.continue(); waited++; return route.fulfill(problem(503, 'stale_read_model', 'Not yet.', { state })); });
      await page.evaluate(() => { location.hash = '/stock'; });
      await sees(words);
      await row('SEA-1').waitFor();
      must(waited > 0 && await page.locator('.problem').count() === 0, 'what there is was not shown');
      await page.unrouteAll({ behavior: 'ignoreErrors' });
      await page.locator('.stale').waitFor({ state: 'detached' });
    });
  }
  await step('without the service the screen stays, says so, and goes on', async () => {
    await at('/stock/SEA-1');
    await sees('on hand');
    await page.context().setOffline(true);
    await button('Receive').click();
    await fill({ Pieces: '1' });
    await press('Receive');
    await dialog.getByText('The service can’t be reached.').waitFor();
    await sees('on hand');
    await page.context().setOffline(false);
    await press('Receive');
    await dialog.waitFor({ state: 'detached' });
    await tile('on hand', '33');
  });
  await step('an outcome that nobody knows is repeated with the same key', async () => {
    const keys = [];
    await page.route('**/damages', (route) => { keys.push(route.request().headers()['idempotency-key']); return keys.length === 1 ? route.fulfill(problem(504, 'outcome_unknown', 'It can’t be known.')) : route.continue(); });
    await button('Damage').click();
    await fill({ Pieces: '1', Reason: 'salt' });
    await press('Damage');
    await dialog.getByText('it is done only once').waitFor();
    await page.keyboard.press('Escape');
    await button('Damage').click();
    await fill({ Pieces: '1', Reason: 'salt' });
    await press('Damage');
    await dialog.waitFor({ state: 'detached' });
    must(keys.length === 2 && keys[0] === keys[1], `keys ${keys}`);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
  });
  await step('an answer that comes late does not replace a newer screen', async () => {
    let release;
    const held = new Promise((go) => { release = go; });
    await page.route('**/v1/products?*', async (route) => { const answer = await route.fetch(); await held; await route.fulfill({ response: answer }).catch(() => {}); });
    await at('/catalogue');
    await page.evaluate(() => { location.hash = '/stock'; });
    await sees('On hand');
    release();
    await row('SEA-1').waitFor();
    must(await page.getByRole('heading', { level: 1 }).textContent() === 'Stock', 'the old screen came back');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
  });
  await step('the browser had nothing to complain about', () => must(complaints.length === 0, complaints.join('\n')));
  await page.context().close();
}
