// Walks through the console part by part and tells what it found.
import { endAll, launch } from './kit.mjs';

const parts = ['desk', 'operator', 'roles', 'trouble', 'reach', 'docs'].filter((name) => name.includes(process.env.ONLY || ''));
const browser = await launch();
const found = [];

// step does one thing; what goes wrong is told and doesn't keep the next from being tried.
const step = (part) => async (name, work) => {
  try {
    await work();
    console.log(`ok    ${part}: ${name}`);
  } catch (error) {
    const text = String(error.message).split('\n').slice(0, 6).join('\n      ');
    found.push(`${part}: ${name}`);
    console.log(`FOUND ${part}: ${name}\n      ${text}`);
  }
};

const stop = async () => { await browser.close().catch(() => {}); await endAll(); };
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stop().then(() => process.exit(130)));

for (const part of parts) {
  const { default: walk } = await import(`./${part}.mjs`);
  await step(part)('begins and ends', () => walk(browser, step(part)));
}
await stop();
console.log(found.length === 0 ? 'Nothing was found.' : `${found.length} found:\n  ${found.join('\n  ')}`);
process.exit(found.length === 0 ? 0 : 1);
