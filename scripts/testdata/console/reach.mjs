// Who reaches it: by keyboard, with bad eyes, on a phone, with a screen reader.
import { mkdirSync } from 'node:fs';
import { api, demo, must, open, serve, until } from './kit.mjs';

// Runs in the page: elements that can be used without a name that a screen reader could say.
const nameless = () => [...document.querySelectorAll('a, button, input, select, textarea, summary, dialog, table')].filter((e) => e.getClientRects().length > 0)
  .filter((e) => !(e.getAttribute('aria-label') || [...(e.labels || [])].some((l) => l.textContent.trim()) || (/^(A|BUTTON|SUMMARY)$/.test(e.tagName) && e.textContent.trim()))).map((e) => e.outerHTML.slice(0, 120));

// Runs in the page: texts whose contrast with what is behind them is below what WCAG asks for at level AA.
const faint = () => {
  const light = (c) => { const [r, g, b] = c.map((v) => { const s = v / 255; return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const parse = (text) => { const n = text.match(/[\d.]+/g).map(Number); return { rgb: n.slice(0, 3), alpha: n[3] ?? 1 }; };
  const behind = (e) => { for (let at = e; at; at = at.parentElement) { const c = parse(getComputedStyle(at).backgroundColor); if (c.alpha === 1) return c.rgb; } return [255, 255, 255]; };
  const found = new Set();
  for (const e of document.querySelectorAll('body *')) {
    const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join('');
    const input = ['INPUT', 'SELECT', 'TEXTAREA', 'BUTTON'].includes(e.tagName);
    if (!text && !input || e.getClientRects().length === 0) continue;
    const style = getComputedStyle(e);
    const back = light(behind(e));
    const ratio = (c) => { const front = light(parse(c).rgb); return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05); };
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    if (text && ratio(style.color) < (large ? 3 : 4.5)) found.add(`${e.tagName}.${e.className} "${text.slice(0, 30)}" ${ratio(style.color).toFixed(2)}`);
    if (input && e.type !== 'checkbox' && e.type !== 'range') { const outer = light(behind(e.parentElement)); const edge = light(parse(style.borderTopColor).rgb); const r = (Math.max(edge, outer) + 0.05) / (Math.min(edge, outer) + 0.05); if (r < 3) found.add(`edge of ${e.tagName} ${r.toFixed(2)}`); }
  }
  return [...found];
};

const dialogs = [['/orders', 'New order'], ['/orders', 'Open account'], ['/stock', 'Receive'], ['/catalogue', 'New product'], ['/operations', 'Settings audit_log'], ['/operations', 'Reset audit_log'], ['/operations', 'Rebuild audit_log']];
const looks = [
  ['desktop', {}], ['dark', { colorScheme: 'dark' }], ['phone', { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 }],
  ['zoomed to 200 %', { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 }], ['still', { reducedMotion: 'reduce' }],
];

export default async function walk(browser, step) {
  const service = await serve();
  await demo(service.base, 20);
  const call = api(service.base);
  const row = (await call('GET', '/v1/orders?status=shipped&limit=1')).items[0];
  const order = await call('GET', `/v1/orders/${row.id}`);
  const open1 = await call('POST', '/v1/orders', { customerId: order.customerId, accountId: order.accountId, currency: 'EUR', items: [{ sku: order.items[0].sku, name: 'A name without any gap '.repeat(3) + 'x'.repeat(80), quantity: 1, unitPrice: 9007199254740 }] });
  const screens = { board: '/', orders: '/orders', order: `/orders/${order.id}`, 'open-order': `/orders/${open1.id}`, past: `/orders/${order.id}?revision=0`, customer: `/customers/${order.customerId}`, fulfilments: '/fulfilments', stock: '/stock', item: `/stock/${order.items[0].sku}`,
    account: `/accounts/${order.accountId}`, catalogue: '/catalogue', product: `/catalogue/${order.items[0].sku}`, sales: '/sales', audit: '/audit', operations: '/operations', missing: `/orders/${crypto.randomUUID()}`, lost: '/nowhere' };

  for (const [look, options] of looks) {
    const { page, at, button, dialog, complaints } = await open(browser, service.base, options);
    const inspect = async (name) => {
      await until(async () => await page.getByText('Loading …').count() === 0, `${name} keeps loading`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      must(wide <= 0, `${name} is ${wide} pixels too wide`);
      const [silent, weak] = [await page.evaluate(nameless), await page.evaluate(faint)];
      must(silent.length === 0, `${name} has no name for ${silent.join('\n')}`);
      must(weak.length === 0, `${name} is faint: ${weak.join('\n')}`);
      if (process.env.SHOTS) { mkdirSync(process.env.SHOTS, { recursive: true }); await page.screenshot({ path: `${process.env.SHOTS}/${look.split(' ')[0]}-${name}.png`, fullPage: look === 'phone' && !dialogs.some(([, label]) => name === label.replace(/ /g, '-')) }); }
    };
    for (const [name, hash] of look === 'still' ? [] : Object.entries(screens)) {
      await step(`${look}: ${name}`, async () => {
        await at(hash);
        await page.locator('main h1').waitFor();
        await inspect(name);
        must(await page.locator('h1').count() === 1 && /\S · Tidemark$/.test(await page.title()), `headings or title ${await page.title()}`);
      });
    }
    for (const [hash, label] of look === 'still' ? dialogs.slice(0, 1) : dialogs) {
      await step(`${look}: the dialog of ${label}`, async () => {
        await at(hash);
        await page.reload();
        await button(label).click();
        await dialog.waitFor();
        if (!label.startsWith('Rebuild')) await dialog.locator('form button').first().click(); // its findings are to be looked at too
        await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)));
        await inspect(label.replace(/ /g, '-'));
        const box = await dialog.boundingBox();
        const size = page.viewportSize();
        must(box.x >= 0 && box.x + box.width <= size.width && box.y >= 0 && box.y + box.height <= size.height, `the dialog is outside: ${JSON.stringify(box)}`);
      });
    }
    if (look === 'still') await step('reduced motion: nothing moves', async () => must(await page.evaluate(() => document.getAnimations().length) === 0, 'something moves'));
    await step(`${look}: the browser had nothing to complain about`, () => must(complaints.length === 0, complaints.join('\n')));
    await page.context().close();
  }
  await keyboard(browser, step, service, screens);
}

async function keyboard(browser, step, service, screens) {
  const { page, at, dialog, sees, status, complaints } = await open(browser, service.base);
  const focused = () => page.evaluate(() => { const e = document.activeElement; const s = getComputedStyle(e); return { text: e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent, tag: e.tagName, ring: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0, top: e.getBoundingClientRect().top, left: e.getBoundingClientRect().left }; });
  const tabTo = async (wanted) => { for (let i = 0; i < 200; i++) { await page.keyboard.press('Tab'); const at = await focused(); if (wanted.test(at.text)) return at; } throw new Error(`Tab never gets to ${wanted}`); };

  await step('keyboard: the first stop skips the menu; every stop can be seen', async () => {
    await at('/catalogue');
    await page.locator('tbody tr').first().waitFor();
    await page.keyboard.press('Tab');
    must((await focused()).text === 'Skip to the screen', `the first stop is ${(await focused()).text}`);
    const stops = [];
    for (let i = 0; i < 18; i++) { await page.keyboard.press('Tab'); stops.push(await focused()); }
    must(stops.every((stop) => stop.ring), `no ring around ${stops.filter((stop) => !stop.ring).map((stop) => stop.text)}`);
    must(stops[0].text === 'Tidemark' && /New product/.test(stops.map((stop) => stop.text).join()), `stops: ${stops.map((stop) => stop.text)}`);
  });
  await step('keyboard: an order is opened, added to and confirmed', async () => {
    await at('/orders?status=created');
    await page.reload(); // a new page begins at its top, a new screen at the screen
    await page.locator('tbody a').first().waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    must(await page.evaluate(() => document.activeElement.tagName) === 'MAIN', 'skipping does not get to the screen');
    await page.evaluate((hash) => { location.hash = hash; }, screens['open-order']);
    await status('created');
    must(await page.evaluate(() => document.activeElement.tagName) === 'MAIN', 'a new screen has no focus');
    await tabTo(/^Add item$/);
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    must((await focused()).text === 'Add item', 'the focus does not come back');
    await page.keyboard.press('Enter');
    await dialog.waitFor();
    await page.keyboard.type('KEY-1');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.type('Key');
    await page.keyboard.press('Tab');
    await page.keyboard.type('1.5');
    await page.keyboard.press('Enter');
    await dialog.getByText('Pieces is needed.').waitFor();
    await page.keyboard.type('2');
    await page.keyboard.press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await sees('KEY-1');
    await at('/orders');
    await page.evaluate((hash) => { location.hash = hash; }, screens['open-order']);
    await status('created');
    await tabTo(/^Confirm$/);
    await page.keyboard.press('Enter');
    await page.locator('h1 .status.created').waitFor({ state: 'detached' });
  });
  await step('keyboard: a filter keeps what is typed while the screen is drawn anew, and the focus', async () => {
    await at(screens.account);
    await sees('balance');
    await page.evaluate((hash) => { location.hash = hash; }, '/audit');
    const actor = page.getByLabel('Actor');
    await actor.focus();
    await page.keyboard.type('oper');
    await page.waitForResponse((response) => response.url().includes('/v1/audit'));
    must(await actor.inputValue() === 'oper', 'what was typed is gone');
    await page.keyboard.type('ator');
    await page.keyboard.press('Enter');
    await until(() => page.url().includes('actor=operator'), 'Enter does not filter');
    must(await actor.evaluate((input) => input === document.activeElement), 'the focus is gone');
  });
  await step('keyboard: the browser had nothing to complain about', () => must(complaints.length === 0, complaints.join('\n')));
  await page.context().close();
}
