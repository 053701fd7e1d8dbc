// The flows of the Node clients' READMEs and guides, run against a node. argv: package, address.
const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');

const [, , name, address] = process.argv;
const lib = require(name);
const Client = lib.KurrentDBClient ?? lib.EventStoreDBClient;
const scheme = lib.KurrentDBClient ? 'kurrentdb' : 'esdb';
const { jsonEvent, binaryEvent, START, END, FORWARDS, BACKWARDS, NO_STREAM, ANY, STREAM_EXISTS, PARK, RETRY, SKIP } = lib;
const connect = (more = '') => Client.connectionString(`${scheme}://admin:changeit@${address}?tls=false${more}`);
const client = connect();
const stream = (kind) => `${kind}-${randomUUID()}`;
const events = (n) => Array.from({ length: n }, (_, i) => jsonEvent({ type: `event-${i}`, data: { i }, metadata: { from: 'node' } }));

const collect = async (read) => {
  const all = [];
  for await (const e of read) all.push(e);
  return all;
};
const within = (ms, promise, what) => {
  let timer;
  const late = new Promise((_, no) => { timer = setTimeout(() => no(new Error(`nothing after ${ms} ms: ${what}`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};
// take ends the subscription as an application does: breaking out of an iteration leaves the call open.
const take = (sub, n, each = async () => {}) => within(10_000, (async () => {
  const got = [];
  for await (const r of sub) {
    got.push(r);
    await each(r);
    if (got.length === n) await sub.unsubscribe();
  }
  return got;
})(), `${n} events`);
// The two packages call the same thing differently.
const expecting = (revision) => ({ expectedRevision: revision, streamState: revision });
const rejects = (promise, type) => assert.rejects(promise, (e) => { assert.equal(e.type ?? e.name, type, String(e.stack)); return true; });

const flows = {
  async 'append and read'() {
    const s = stream('order');
    const done = await client.appendToStream(s, events(3), expecting(NO_STREAM));
    assert.equal(done.success, true);
    assert.equal(done.nextExpectedRevision, 2n);
    assert.ok(done.position.commit > 0n);
    const all = await collect(client.readStream(s, { fromRevision: START, direction: FORWARDS, maxCount: 10 }));
    assert.deepEqual(all.map((r) => r.event.revision), [0n, 1n, 2n]);
    assert.deepEqual(all[1].event.data, { i: 1 });
    assert.deepEqual(all[1].event.metadata, { from: 'node' });
    assert.ok(all[0].event.created instanceof Date && Date.now() - all[0].event.created < 60_000);
    const back = await collect(client.readStream(s, { fromRevision: END, direction: BACKWARDS, maxCount: 1 }));
    assert.equal(back[0].event.revision, 2n);
  },
  async 'binary events'() {
    const s = stream('bytes');
    await client.appendToStream(s, binaryEvent({ type: 'raw', data: Buffer.from([0, 255]), metadata: Buffer.from('m') }));
    const [r] = await collect(client.readStream(s));
    assert.deepEqual([...r.event.data], [0, 255]);
    assert.equal(r.event.isJson, false);
  },
  async 'append with credentials goes without a batch'() {
    const s = stream('order');
    const done = await client.appendToStream(s, events(2), { credentials: { username: 'admin', password: 'changeit' } });
    assert.equal(done.nextExpectedRevision, 1n);
  },
  async 'wrong expected revision'() {
    const s = stream('order');
    await client.appendToStream(s, events(1));
    await rejects(client.appendToStream(s, events(1), expecting(NO_STREAM)), 'wrong-expected-version');
    await rejects(client.appendToStream(s, events(1), expecting(5n)), 'wrong-expected-version');
    await rejects(client.appendToStream(stream('none'), events(1), expecting(STREAM_EXISTS)), 'wrong-expected-version');
    const other = connect('&throwOnAppendFailure=false');
    const told = await other.appendToStream(s, events(1), expecting(NO_STREAM));
    assert.equal(told.success, false);
    await other.dispose();
  },
  async 'many appends at once'() {
    const s = stream('order');
    const all = await Promise.all(Array.from({ length: 200 }, () => client.appendToStream(s, events(1), expecting(ANY))));
    assert.equal(new Set(all.map((r) => r.nextExpectedRevision)).size, 200);
  },
  async 'an append that is too large'() {
    await rejects(client.appendToStream(stream('large'), jsonEvent({ type: 'x', data: { x: 'y'.repeat(2 << 20) } })), 'maximum-append-size-exceeded');
  },
  async 'a missing stream'() {
    await rejects(collect(client.readStream(stream('none'))), 'stream-not-found');
  },
  async 'delete, recreate, tombstone'() {
    const s = stream('order');
    await client.appendToStream(s, events(2));
    const deleted = await client.deleteStream(s, expecting(1n));
    assert.ok(deleted.position.commit > 0n);
    await rejects(collect(client.readStream(s)), 'stream-not-found');
    const again = await client.appendToStream(s, events(1), expecting(NO_STREAM));
    assert.equal(again.nextExpectedRevision, 2n);
    await client.tombstoneStream(s);
    await rejects(client.appendToStream(s, events(1)), 'stream-deleted');
    await rejects(client.deleteStream(s), 'stream-deleted');
  },
  async 'stream metadata'() {
    const s = stream('order');
    await client.appendToStream(s, events(3));
    await client.setStreamMetadata(s, { maxCount: 1, shop: 'north' });
    const got = await client.getStreamMetadata(s);
    assert.equal(got.metadata.maxCount, 1);
    assert.equal(got.metadata.shop, 'north');
    const left = await collect(client.readStream(s));
    assert.deepEqual(left.map((r) => r.event.revision), [2n]);
  },
  async 'read all, with and without a filter'() {
    const prefix = `kind${randomUUID().slice(0, 8)}`;
    for (let i = 0; i < 5; i++) await client.appendToStream(`${prefix}-${i}`, events(1));
    const newest = await collect(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 3 }));
    assert.equal(newest.length, 3);
    if (!lib.KurrentDBClient) return; // the older one can't filter a read
    const mine = await collect(client.readAll({ direction: FORWARDS, fromPosition: START, maxCount: 10, filter: lib.streamNameFilter({ prefixes: [prefix] }) }));
    assert.equal(mine.length, 5);
  },
  async 'catch-up subscription to a stream'() {
    const s = stream('order');
    await client.appendToStream(s, events(2));
    const sub = client.subscribeToStream(s, { fromRevision: START });
    const live = new Promise((yes) => sub.once('caughtUp', yes));
    const got = take(sub, 4);
    await within(10_000, live, 'caught up');
    await client.appendToStream(s, events(2));
    assert.deepEqual((await got).map((r) => r.event.revision), [0n, 1n, 2n, 3n]);
  },
  async 'catch-up subscription to all, filtered, with checkpoints'() {
    const prefix = `kind${randomUUID().slice(0, 8)}`;
    const reached = [];
    const sub = client.subscribeToAll({ fromPosition: START, filter: lib.streamNameFilter({ prefixes: [prefix], checkpointInterval: 1, checkpointReached: (_, p) => reached.push(p) }) });
    const got = take(sub, 3);
    for (let i = 0; i < 3; i++) await client.appendToStream(`${prefix}-${i}`, events(1));
    assert.equal((await got).length, 3);
    assert.ok(reached.length > 0 && reached[0].commit > 0n);
  },
  async 'persistent subscription to a stream'() {
    const s = stream('order');
    await client.appendToStream(s, events(4));
    const settings = lib.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, maxRetryCount: 2 });
    await client.createPersistentSubscriptionToStream(s, 'g', settings);
    await rejects(client.createPersistentSubscriptionToStream(s, 'g', settings), 'persistent-subscription-exists');
    const sub = client.subscribeToPersistentSubscriptionToStream(s, 'g', { bufferSize: 2 });
    let retried = 0;
    const got = await take(sub, 5, async (r) => {
      if (r.event.revision === 1n && retried++ === 0) await sub.nack(RETRY, 'again', r);
      else if (r.event.revision === 2n) await sub.nack(PARK, 'no', r);
      else await sub.ack(r);
    });
    assert.deepEqual(got.map((r) => Number(r.event.revision)).sort(), [0, 1, 1, 2, 3]);
    let info;
    for (let i = 0; i < 200 && (info = await client.getPersistentSubscriptionToStreamInfo(s, 'g')).stats.parkedMessageCount !== 1n; i++) await new Promise((r) => setTimeout(r, 20));
    assert.equal(Number(info.stats.parkedMessageCount), 1);
    const replayed = client.subscribeToPersistentSubscriptionToStream(s, 'g');
    await client.replayParkedMessagesToStream(s, 'g');
    // Unsubscribing cancels the call, and an acknowledgement sent just before may go with it: the last event may come again.
    const parked = [];
    await within(10_000, (async () => {
      for await (const r of replayed) {
        await replayed.ack(r);
        if (r.event.revision === 3n) continue;
        parked.push(r.event.revision);
        await replayed.unsubscribe();
      }
    })(), 'the replayed event');
    assert.deepEqual(parked, [2n]);
    await client.updatePersistentSubscriptionToStream(s, 'g', lib.persistentSubscriptionToStreamSettingsFromDefaults({ maxRetryCount: 7 }));
    assert.equal((await client.getPersistentSubscriptionToStreamInfo(s, 'g')).settings.maxRetryCount, 7);
    assert.equal((await client.listPersistentSubscriptionsToStream(s)).length, 1);
    assert.ok((await client.listAllPersistentSubscriptions()).length >= 1);
    await client.deletePersistentSubscriptionToStream(s, 'g');
    await rejects(client.deletePersistentSubscriptionToStream(s, 'g'), 'persistent-subscription-does-not-exist');
  },
  async 'persistent subscription to all'() {
    const group = `g-${randomUUID()}`;
    const prefix = `kind${randomUUID().slice(0, 8)}`;
    await client.createPersistentSubscriptionToAll(group, lib.persistentSubscriptionToAllSettingsFromDefaults({ startFrom: START }), { filter: lib.streamNameFilter({ prefixes: [prefix] }) });
    const sub = client.subscribeToPersistentSubscriptionToAll(group);
    const got = take(sub, 3, (r) => sub.ack(r));
    for (let i = 0; i < 3; i++) await client.appendToStream(`${prefix}-${i}`, events(1));
    assert.equal((await got).length, 3);
    const info = await client.getPersistentSubscriptionToAllInfo(group);
    assert.equal(info.eventSource, '$all');
    assert.equal((await client.listPersistentSubscriptionsToAll()).some((s) => s.groupName === group), true);
    await client.deletePersistentSubscriptionToAll(group);
  },
  async 'pinned by correlation'() {
    if (!lib.KurrentDBClient) return; // the older one does not know it
    const s = stream('order');
    await client.createPersistentSubscriptionToStream(s, 'g', lib.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, consumerStrategyName: lib.PINNED_BY_CORRELATION ?? 'PinnedByCorrelation' }));
    assert.equal((await client.getPersistentSubscriptionToStreamInfo(s, 'g')).settings.consumerStrategyName, 'PinnedByCorrelation');
  },
  async 'restart of the persistent subscriptions drops consumers'() {
    const s = stream('order');
    await client.createPersistentSubscriptionToStream(s, 'g', lib.persistentSubscriptionToStreamSettingsFromDefaults({}));
    const other = connect();
    const sub = other.subscribeToPersistentSubscriptionToStream(s, 'g');
    const dropped = new Promise((yes) => sub.once('error', yes));
    sub.on('data', () => {});
    await within(10_000, new Promise((yes) => sub.once('confirmation', yes)), 'confirmation');
    await client.restartPersistentSubscriptionSubsystem();
    assert.equal((await within(10_000, dropped, 'the drop')).type, 'persistent-subscription-dropped');
    await other.dispose();
  },
  async 'built-in projections'() {
    const all = await client.listProjections();
    assert.equal(all.length, 5);
    await client.enableProjection('$by_category');
    const status = await client.getProjectionStatus('$by_category');
    assert.match(status.projectionStatus ?? status.status, /Running/);
    const kind = `kind${randomUUID().slice(0, 8)}`;
    await client.appendToStream(`${kind}-1`, events(2));
    let linked = [];
    for (let i = 0; i < 200 && linked.length < 2; i++) {
      linked = await collect(client.readStream(`$ce-${kind}`, { resolveLinkTos: true })).catch(() => []);
      await new Promise((r) => setTimeout(r, 20));
    }
    assert.deepEqual(linked.map((r) => [r.event.streamId, r.link.revision]), [[`${kind}-1`, 0n], [`${kind}-1`, 1n]]);
  },
};

(async () => {
  let failed = 0;
  for (const [what, flow] of Object.entries(flows)) {
    try {
      await within(30_000, flow(), what);
      console.log(`  PASS  ${what}`);
    } catch (e) {
      failed++;
      console.log(`  FAIL  ${what}\n        ${String(e.stack ?? e).split('\n').slice(0, 6).join('\n        ')}`);
    }
  }
  console.log(`  passed ${Object.keys(flows).length - failed}, failed ${failed}`);
  await client.dispose();
  process.exit(failed ? 1 : 0);
})();
