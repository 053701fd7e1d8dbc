// /docs without a network: each operation is there with its examples, and can be tried out.
import { must, open, serve, until } from './kit.mjs';

export default async function walk(browser, step) {
  const service = await serve();
  const { page, complaints } = await open(browser, service.base);
  const document = await (await fetch(`${service.base}/openapi.json`)).json();
  const operations = Object.values(document.paths).flatMap((path) => Object.entries(path).filter(([method]) => ['get', 'post', 'delete', 'patch', 'put'].includes(method)).map(([method, operation]) => ({ method, ...operation })));

  await step('every operation is shown', async () => {
    await page.goto(`${service.base}/docs`);
    await page.locator('.opblock').first().waitFor();
    const shown = await page.locator('.opblock').count();
    must(shown === operations.length, `${shown} of ${operations.length} operations`);
    must(await page.locator('.errors-wrapper').count() === 0, 'the page reports errors of the document');
  });
  await step('the search finds operations', async () => {
    const only = async (phrase, ids) => { await page.locator('.operation-filter-input').fill(phrase); await until(async () => (await page.locator('.opblock').evaluateAll((all) => all.map((o) => o.id.split('-').at(-1)).join())) === ids, `${phrase} does not find ${ids}`); };
    await only('movements', 'listStockMovements');
    await only('ship a prepared', 'shipOrder');
    await only('withdrawproduct', 'withdrawProduct');
    await page.locator('.operation-filter-input').fill('');
    await until(async () => await page.locator('.opblock').count() === operations.length, 'the search does not end');
  });
  await step('commands show an example, and one can be tried', async () => {
    for (const { operationId, requestBody } of operations.filter((o) => o.requestBody)) {
      const block = page.locator(`.opblock[id$="-${operationId}"]`);
      await block.locator('.opblock-summary-control').click();
      if (requestBody.required) await block.locator('.opblock-section-request-body .example, .opblock-section-request-body textarea').first().waitFor();
      await block.locator('.opblock-summary-control').click();
    }
    const block = page.locator('.opblock[id$="-createProduct"]');
    await block.locator('.opblock-summary-control').click();
    await block.getByRole('button', { name: 'Execute' }).click();
    await block.locator('.live-responses-table .response-col_status').filter({ hasText: '201' }).waitFor();
  });
  await step('the codes of errors have pages', async () => {
    await page.goto(`${service.base}/docs/errors`);
    await page.getByRole('link', { name: 'order_empty' }).click();
    await page.getByRole('heading').first().waitFor();
    await page.getByRole('link', { name: 'operations' }).click();
    await page.locator('.opblock').first().waitFor();
  });
  await step('neither page is too wide for a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    for (const path of ['/docs', '/docs/errors', '/docs/errors/order_empty']) {
      await page.goto(service.base + path);
      await page.locator('nav').waitFor();
      if (path === '/docs') await page.locator('.opblock').first().waitFor();
      const wide = await page.evaluate(() => globalThis.document.documentElement.scrollWidth - globalThis.document.documentElement.clientWidth);
      must(wide <= 0, `${path} is ${wide} pixels too wide`);
    }
  });
  await step('the browser had nothing to complain about', () => must(complaints.length === 0, complaints.join('\n')));
  await page.context().close();
}
