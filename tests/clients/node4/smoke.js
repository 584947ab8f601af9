// Uses a server on 127.0.0.1:$PINYON_PORT through node-redis 4 as an application would.
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
  assert.equal(await client.append('k', 'x'), 2);
  assert.equal(await client.getDel('k'), 'wx');
  assert.equal(await client.exists(['a', 'b', 'none']), 2);
  assert.equal(await client.del(['a', 'b', 'none']), 2);
  await assert.rejects(client.set('t', 'text').then(() => client.incr('t')), /not an integer/);
  await assert.rejects(client.sendCommand(['NOSUCH']), /unknown command/);
}

async function scans(client) {
  await client.flushDb();
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, n) => client.set(`key:${n}`, String(n))));
  assert.ok(answers.every((answer) => answer === 'OK'));
  const found = new Set();
  for await (const key of client.scanIterator({ MATCH: 'key:*', COUNT: 50 })) found.add(key);
  assert.equal(found.size, 1000);
  assert.equal(await client.dbSize(), 1000);
}

async function server(client) {
  assert.match(await client.info(), /used_memory:\d+/);
  assert.match(await client.info('keyspace'), /db0:keys=1000/);
  assert.equal((await client.configGet('maxmemory')).maxmemory, String(256 * 1024 * 1024));
  assert.equal(await client.clientSetName('smoke'), 'OK');
  assert.equal(await client.clientGetName(), 'smoke');
  if (!isRedis) assert.match(await client.sendCommand(['CLIENT', 'INFO']), /lib-name=node-redis/);
  assert.ok((await client.clientList()).some((each) => each.name === 'smoke'));
}

async function memory(client) {
  const stats = await client.memoryStats();
  const whole = ['peakAllocated', 'totalAllocated', 'startupAllocated', 'clientsNormal', 'overheadTotal',
    'keysCount', 'keysBytesPerKey', 'datasetBytes'];
  for (const name of whole) assert.ok(Number.isInteger(stats[name]), `${name} is ${stats[name]}`);
  for (const name of ['datasetPercentage', 'peakPercentage']) {
    assert.equal(typeof stats[name], 'number', name);
    assert.ok(stats[name] >= 0 && stats[name] <= 100, `${name} is ${stats[name]}`);
  }
  assert.equal(stats.keysCount, 1000);
  assert.ok(stats.fragmentation > 0);
  assert.ok((await client.memoryUsage('key:1')) > 0);
  assert.equal(await client.memoryUsage('none'), null);
  assert.equal(await client.memoryPurge(), 'OK');
  assert.equal(typeof (await client.memoryDoctor()), 'string');
  assert.equal(typeof (await client.memoryMallocStats()), 'string');
}

async function main() {
  const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } });
  client.on('error', () => {});
  await client.connect();
  await client.flushAll();
  for (const group of [strings, scans, server, memory]) {
    await group(client).catch((why) => {
      why.message = `${group.name}: ${why.message}`;
      throw why;
    });
  }
  await client.quit();
}

main().catch((why) => {
  console.error(why);
  process.exit(1);
});
