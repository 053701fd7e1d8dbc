// The same screens with keys: what each role is offered, what is refused, and what happens to the token.
import { api, demo, must, open, secretFile, serve, token, until } from './kit.mjs';
import { hostile } from './desk.mjs';

export default async function walk(browser, step) {
  const service = await serve({ TIDEMARK_AUTH_HS256_SECRET_FILE: secretFile() });
  const bearer = { operator: token({ sub: hostile.replace('\u202e', ''), role: 'operator' }), clerk: token({ sub: 'carla', role: ['clerk'] }), auditor: token({ sub: 'otto', role: 'auditor' }), customer: token({ sub: 'cleo', role: 'customer', customer_id: 'cleo' }) };
  await demo(service.base, 10, bearer.operator);
  const call = api(service.base, bearer.operator);
  const { page, at, button, sees, row, dialog, use, fill, press, status, said, complaints } = await open(browser, service.base);
  const signIn = async (text) => { await page.getByLabel('Bearer token').fill(text); await page.getByLabel('Bearer token').press('Enter'); };
  const menu = () => page.getByRole('navigation').getByRole('link').allTextContents();

  await step('without a token each screen says what it wants, and no more', async () => {
    await page.goto(`${service.base}/console`);
    for (const screen of ['/', '/orders', '/stock', '/catalogue', '/audit', '/operations', `/orders/${crypto.randomUUID()}`]) {
      await at(screen);
      await sees('Put a bearer token into the box at the top.');
      await sees('unauthenticated');
    }
  });
  await step('what can not be a token is said so, and what is none is refused', async () => {
    await signIn('\u{1F600}');
    await sees('That is no token.');
    await signIn('abc.def.ghi');
    await sees('unauthenticated');
  });
  await step('a token changes the screen at once, and a reload forgets it but not the place', async () => {
    await at('/stock');
    await signIn(`Bearer ${bearer.clerk}`);
    await page.locator('tbody tr').nth(2).waitFor();
    await sees('carla, clerk');
    must(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie) === '{}', 'the token is kept outside of the page');
    must(!await page.content().then((text) => text.includes(bearer.clerk)), 'the token is in the page');
    await page.reload();
    await sees('unauthenticated');
    must(page.url().endsWith('#/stock'), page.url());
  });
  await step('a clerk works, and isn’t offered what operators do', async () => {
    await at('/catalogue');
    await signIn(bearer.clerk);
    await use('New product', { SKU: 'ROLE-1', Name: 'Role', Price: '1' });
    must(!(await menu()).some((name) => ['Audit', 'Operations'].includes(name)), `menu: ${await menu()}`);
    await page.evaluate(() => { location.hash = '/operations'; });
    await sees('forbidden');
    must(await page.getByRole('table', { name: 'Read models' }).getByRole('button').count() === 0, 'a clerk is offered operations');
  });
  await step('an auditor sees all and is offered no command', async () => {
    await signIn(bearer.auditor);
    await sees('otto, auditor');
    for (const screen of ['/', '/orders', '/stock', '/stock/ROLE-1', '/catalogue', '/catalogue/ROLE-1', '/fulfilments', '/sales', '/audit', '/operations']) {
      await page.evaluate((hash) => { location.hash = hash; }, screen);
      await page.locator('main h1').waitFor();
      await until(async () => await page.getByText('Loading …').count() === 0, `${screen} keeps loading`);
      must(await page.locator('main button').count() === 0, `${screen} offers ${await page.locator('main button').allTextContents()}`);
      if (screen !== '/stock/ROLE-1') must(await page.locator('.problem').count() === 0, `${screen}: ${await page.locator('.problem').allTextContents()}`);
    }
    await page.evaluate((hash) => { location.hash = hash; }, '/audit');
    await page.getByText(hostile.slice(0, 12)).first().waitFor();
    must(await page.locator('main img').count() === 0 && await page.evaluate(() => window.pwned) === undefined, 'the name of an actor became markup');
  });
  await step('a customer orders and pays, and sees nobody else’s', async () => {
    const foreign = (await call('GET', '/v1/orders?limit=1')).items[0];
    await call('POST', '/v1/inventory/ROLE-1/receipts', { quantity: 9 });
    await signIn(bearer.customer);
    must((await menu()).join() === 'Orders,Fulfilments,Catalogue,API docs', `menu: ${await menu()}`);
    await page.evaluate(() => { location.hash = '/'; });
    await sees('No order is like that.');
    await button('Open account').click();
    must(await dialog.getByLabel('Customer').inputValue() === 'cleo', 'the customer is not known');
    must(await dialog.getByLabel('Overdraft').count() === 0, 'a customer may choose the overdraft limit');
    await press('Open account');
    await status('open');
    await use('Deposit', { Amount: '10' });
    must(await button('Credit').count() === 0, 'a customer is offered credits');
    await button('New order').click();
    await fill({ SKU: 'ROLE-1', Pieces: '2', Price: '0.01' });
    await press('New order');
    await dialog.getByText('price_changed').waitFor();
    await fill({ Price: '' });
    await press('New order');
    await status('created');
    await button('Confirm').click();
    await said('The order is confirmed.');
    await status('prepared');
    must(await button('Ship').count() === 0, 'a customer is offered to ship');
    await page.getByRole('table', { name: 'Lines' }).getByRole('link', { name: 'ROLE-1' }).click();
    await page.getByRole('heading', { name: 'Role' }).waitFor();
    must(await page.locator('.problem').count() === 0, 'the catalogue refuses a customer');
    for (const screen of [`/orders/${foreign.id}`, `/customers/${foreign.customerId}`]) {
      await page.evaluate((hash) => { location.hash = hash; }, screen);
      await sees('not_found');
    }
    await signIn('');
    await sees('unauthenticated');
  });
  await step('the browser had nothing to complain about', () => must(complaints.length === 0, complaints.join('\n')));
  await page.context().close();
}
