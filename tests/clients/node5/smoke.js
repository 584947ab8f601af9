// Uses a server on 127.0.0.1:$PINYON_PORT through node-redis as an application would, in RESP2 and RESP3.
// $PINYON_IS_REDIS leaves out what only Pinyon has.
'use strict';
const assert = require('node:assert/strict');
const { createClient } = require('redis');

const port = Number(process.env.PINYON_PORT);
const isRedis = Boolean(process.env.PINYON_IS_REDIS);

async function strings(client) {
  assert.equal(await client.set('k', 'v'), 'OK');
  assert.equal(await client.get('k'), 'v');
  assert.equal(await client.get('none'), null);
  assert.equal(await client.set('k', 'w', { NX: true }), null);
  assert.equal(await client.set('k', 'w', { XX: true, GET: true, EX: 100 }), 'v');
  assert.ok((await client.ttl('k')) > 0);
  assert.equal(await client.mSet({ a: '1', b: '2', c: '3' }), 'OK');
  assert.deepEqual(await client.mGet(['a', 'none', 'c']), ['1', null, '3']);
  assert.equal(await client.incrBy('n', 41), 41);
  assert.equal(await client.incr('n'), 42);
  assert.equal(await client.append('k', 'x'), 2);
  assert.equal(await client.getRange('k', 0, -1), 'wx');
  assert.equal(await client.getDel('k'), 'wx');
  assert.equal(await client.exists(['a', 'b', 'none']), 2);
  assert.equal(await client.del(['a', 'b', 'none']), 2);
  await assert.rejects(client.set('t', 'text').then(() => client.incr('t')), /not an integer/);
  await assert.rejects(client.sendCommand(['NOSUCH']), /unknown command/);
  await assert.rejects(client.sendCommand(['GET']), /wrong number of arguments/);
}

async function scans(client) {
  await client.flushDb();
  // Sent in one go: node-redis pipelines what is called in one turn.
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, n) => client.set(`key:${n}`, String(n))));
  assert.ok(answers.every((answer) => answer === 'OK'));
  const values = await Promise.all(Array.from({ length: 1000 }, (_, n) => client.get(`key:${n}`)));
  values.forEach((value, n) => assert.equal(value, String(n)));
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: 'key:*', COUNT: 50, TYPE: 'string' })) {
    for (const key of keys) found.add(key);
  }
  assert.equal(found.size, 1000);
  assert.equal(await client.dbSize(), 1000);
  assert.equal((await client.keys('key:99?')).length, 10);
}

async function server(client) {
  const info = await client.info();
  assert.match(info, /used_memory:\d+/);
  assert.match(await client.info('keyspace'), /db0:keys=1000/);
  assert.equal((await client.configGet('maxmemory')).maxmemory, String(256 * 1024 * 1024));
  assert.equal(await client.configSet('timeout', '100'), 'OK');
  await client.configSet('timeout', '0');
  const mine = await client.clientInfo();
  if (!isRedis) assert.equal(mine.libName, 'node-redis');
  assert.equal(await client.clientSetName('smoke'), 'OK');
  assert.equal(await client.clientGetName(), 'smoke');
  assert.ok((await client.clientList()).some((each) => each.name === 'smoke'));
}

async function memory(client) {
  const stats = await client.memoryStats();
  const whole = ['peak.allocated', 'total.allocated', 'startup.allocated', 'clients.normal', 'overhead.total',
    'keys.count', 'keys.bytes-per-key', 'dataset.bytes'];
  for (const name of whole) assert.ok(Number.isInteger(stats[name]), `${name} is ${stats[name]}`);
  for (const name of ['dataset.percentage', 'peak.percentage']) {
    assert.equal(typeof stats[name], 'number', name);
    assert.ok(stats[name] >= 0 && stats[name] <= 100, `${name} is ${stats[name]}`);
  }
  assert.equal(stats['keys.count'], 1000);
  assert.ok(stats['fragmentation'] > 0);
  assert.ok((await client.memoryUsage('key:1')) > 0);
  assert.equal(await client.memoryUsage('none'), null);
  assert.equal(await client.memoryPurge(), 'OK');
  assert.equal(typeof (await client.memoryDoctor()), 'string');
  assert.equal(typeof (await client.memoryMallocStats()), 'string');
}

async function main() {
  for (const RESP of [2, 3]) {
    const client = createClient({ RESP, socket: { host: '127.0.0.1', port, reconnectStrategy: false } });
    client.on('error', () => {});
    await client.connect();
    await client.flushAll();
    for (const group of [strings, scans, server, memory]) {
      await group(client).catch((why) => {
        why.message = `${group.name} in RESP${RESP}: ${why.message}`;
        throw why;
      });
    }
    await client.close();
  }
}

main().catch((why) => {
  console.error(why);
  process.exit(1);
});
