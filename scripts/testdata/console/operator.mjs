// What operators do: read models, subscriptions, jobs, fulfilments.
import { api, demo, must, open, serve, until } from './kit.mjs';

export default async function walk(browser, step) {
  const service = await serve({ TIDEMARK_PREPARE_WITHIN: '1h' });
  await demo(service.base, 10);
  const call = api(service.base);
  const { page, at, button, row, sees, dialog, fill, press, said, use, complaints } = await open(browser, service.base);
  const model = (name) => page.getByRole('table', { name: 'Read models' }).getByRole('row').filter({ has: page.getByRole('cell', { name, exact: true }) });
  const jobs = page.getByRole('table', { name: 'Jobs' });
  const job = (kind) => jobs.getByRole('row').filter({ hasText: kind }).filter({ hasText: 'done' }).first().waitFor();

  const serves = (name, right) => until(async () => right(Number(await model(name).getByRole('cell').nth(1).textContent())), `${name} does not serve from the right generation`);

  await at('/operations');
  await step('a read model is verified, paused and resumed', async () => {
    await button('Verify catalogue').click();
    await said('Verify catalogue: begun');
    await job('verify');
    await jobs.getByText(/\d+ checked, 0 differing/).waitFor();
    await use('Pause catalogue', {}, { label: 'Pause' });
    await model('catalogue').getByText('paused', { exact: true }).waitFor();
    await model('catalogue').getByText('tidemark readmodels resume catalogue').waitFor();
    await job('pause');
    await button('Resume catalogue').click();
    await model('catalogue').getByText('live', { exact: true }).waitFor();
    await job('resume');
  });
  await step('a rebuild waits for its switch, and is rolled back and dropped', async () => {
    await button('Rebuild catalogue').click();
    await press('Rebuild');
    await model('catalogue').getByText('ready to switch').waitFor();
    await job('rebuild');
    await use('Switch catalogue', {}, { label: 'Switch' });
    await serves('catalogue', (generation) => generation > 1);
    await job('switch');
    await use('Roll back catalogue', {}, { label: 'Roll back' });
    await serves('catalogue', (generation) => generation === 1);
    await job('rollback');
    await use('Drop old catalogue', {}, { label: 'Drop old' });
    await button('Drop old catalogue').waitFor({ state: 'detached' });
    await button('Rebuild order_board').click();
    await dialog.getByLabel('Once it is ready').selectOption('switch if it compares equal');
    await press('Rebuild');
    await serves('order_board', (generation) => generation > 1);
  });
  await step('a job that is not possible now is refused in a sentence', async () => {
    await page.route('**/catalogue/verify', (route) => route.fulfill({ status: 409, contentType: 'application/problem+json', body: JSON.stringify({ title: 'Such a job is running already', status: 409, code: 'job_running', detail: 'Job 1 is at work on catalogue.', requestId: 'r-1' }) }));
    await button('Verify catalogue').click();
    await row('catalogue').getByText('Job 1 is at work on catalogue.').waitFor();
    await row('catalogue').getByText('r-1').waitFor();
    await page.unrouteAll({ behavior: 'ignoreErrors' });
  });
  await step('a job that runs is cancelled, and differences are shown', async () => {
    const running = { id: 'j-1', kind: 'verify', target: 'catalogue', state: 'running', progress: { done: 1, total: 4 }, createdAt: '2026-03-01T10:00:00.000000Z' };
    const drifted = { ...running, id: 'j-2', state: 'done', result: { checked: 4, differing: 1, differences: [{ document: 'A-1', field: 'name', live: '<b>x</b>', expected: 'y' }] } };
    await page.route('**/v1/ops/jobs?*', (route) => route.fulfill({ json: { items: [running, drifted], nextCursor: null } }));
    let cancelled = 0;
    await page.route('**/v1/ops/jobs/j-1', (route) => { cancelled += route.request().method() === 'DELETE' ? 1 : 0; return route.fulfill({ json: running }); });
    await jobs.getByText('Differences').click();
    await jobs.getByText('"<b>x</b>"').waitFor();
    await button('Cancel verify of catalogue').click();
    await until(() => cancelled === 1, 'the job was not cancelled');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
  });
  await step('the settings of a group are changed after a look at what that would do', async () => {
    await button('Settings audit_log').click();
    await press('What would it do?');
    await dialog.getByText('Nothing: it is so already.').waitFor();
    await fill({ 'Retries before': '17' });
    await press('What would it do?');
    await dialog.getByText('Retries before an event is parked: 1073741823 → 17').waitFor();
    must((await call('GET', '/v1/ops/subscriptions/audit_log')).settings.maxRetryCount !== 17, 'looking has changed it');
    await press('Settings');
    await dialog.waitFor({ state: 'detached' });
    must((await call('GET', '/v1/ops/subscriptions/audit_log')).settings.maxRetryCount === 17, 'it was not changed');
    await button('Settings audit_log').click();
    await fill({ 'History buffer': '2' });
    await press('What would it do?');
    await dialog.locator('.wrong').first().waitFor();
    await press('Never mind');
  });
  await step('a group is reset after a look', async () => {
    await button('Reset sales_by_day').click();
    await press('What would it do?');
    await dialog.getByText('sales_by_day goes on from the start').waitFor();
    await fill({ To: 'somewhere' });
    await press('What would it do?');
    await dialog.getByText('invalid_request').waitFor();
    await fill({ To: 'start' });
    await press('What would it do?');
    await dialog.getByText('Events come again').waitFor();
    await press('Reset');
    await said('Reset sales_by_day: done.');
  });
  await step('parked events are listed and replayed after a look', async () => {
    let limit;
    await page.route('**/v1/ops/subscriptions?*', async (route) => { const answer = await (await route.fetch()).json(); answer.items[0].parked = 2; await route.fulfill({ json: answer }); });
    await page.route('**/parked?*', (route) => route.fulfill({ json: { items: [{ stream: 'order-1', revision: 3, type: 'Odd', reason: 'not one of ours', at: '2026-03-01T10:00:00.000000Z' }], nextCursor: null } }));
    await page.route('**/replay-parked*', (route) => { limit = route.request().postDataJSON().limit; return route.fulfill({ json: {} }); });
    await sees('not one of ours');
    await page.getByRole('button', { name: /^Replay parked/ }).click();
    await fill({ 'At most': '1' });
    await press('What would it do?');
    await dialog.getByText('1 of 2 parked events').waitFor();
    await press('Replay parked');
    await dialog.waitFor({ state: 'detached' });
    must(limit === 1, `it asked for ${limit}`);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
  });
  await step('a fulfilment is tried again and ended by hand', async () => {
    const stuck = (await call('GET', '/v1/orders?status=prepared&limit=1')).items[0] || await prepared(call);
    await at(`/orders/${stuck.id}`);
    await button('Try the next step now').click();
    await said('The fulfilment is tried again.');
    await button('End by hand').click();
    await fill({ Reason: 'refunded at the counter' });
    await press('End by hand');
    await dialog.getByText('nothing_to_resolve').waitFor();
    await press('Never mind');
    await at('/fulfilments?status=prepared');
    await row('shipment or cancellation').waitFor();
  });
  await step('the browser had nothing to complain about', () => must(complaints.length === 0, complaints.join('\n')));
  await page.context().close();
}

// prepared is an order that waits for its shipment.
async function prepared(call) {
  await call('POST', '/v1/inventory/OPS-1/receipts', { quantity: 5 });
  const account = await call('POST', '/v1/accounts', { customerId: 'ops', currency: 'EUR' });
  const order = await call('POST', '/v1/orders', { customerId: 'ops', accountId: account.id, currency: 'EUR', items: [{ sku: 'OPS-1', name: 'Ops', quantity: 1, unitPrice: 0 }] });
  await call('POST', `/v1/orders/${order.id}/confirm`);
  await until(async () => (await call('GET', `/v1/orders/${order.id}`)).status === 'prepared', 'the order is not prepared');
  return order;
}
