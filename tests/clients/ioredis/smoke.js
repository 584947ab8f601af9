// Uses a server on 127.0.0.1:$PINYON_PORT through ioredis as an application would.
// $PINYON_IS_REDIS leaves out what only Pinyon has.
'use strict';
const assert = require('node:assert/strict');
const Redis = require('ioredis');

const port = Number(process.env.PINYON_PORT);
const isRedis = Boolean(process.env.PINYON_IS_REDIS);

async function strings(client) {
  assert.equal(await client.set('k', 'v'), 'OK');
  assert.equal(await client.get('k'), 'v');
  assert.equal(await client.getBuffer('k').then(String), 'v');
  assert.equal(await client.get('none'), null);
  assert.equal(await client.set('k', 'w', 'EX', 100, 'NX'), null);
  assert.equal(await client.set('k', 'w', 'EX', 100, 'XX'), 'OK');
  assert.ok((await client.ttl('k')) > 0);
  assert.equal(await client.mset({ a: 1, b: 2, c: 3 }), 'OK');
  assert.deepEqual(await client.mget('a', 'none', 'c'), ['1', null, '3']);
  assert.equal(await client.incrby('n', 41), 41);
  assert.equal(await client.del('a', 'b', 'none'), 2);
  await assert.rejects(client.set('t', 'text').then(() => client.incr('t')), /not an integer/);
  await assert.rejects(client.call('NOSUCH'), /unknown command/);
}

async function scans(client) {
  await client.flushdb();
  const pipeline = client.pipeline();
  for (let n = 0; n < 1000; n += 1) pipeline.set(`key:${n}`, n).get(`key:${n}`);
  const answers = await pipeline.exec();
  assert.equal(answers.length, 2000);
  answers.forEach(([error, value], nth) => {
    assert.equal(error, null);
    assert.equal(value, nth % 2 === 0 ? 'OK' : String((nth - 1) / 2));
  });
  const found = new Set();
  for await (const keys of client.scanStream({ match: 'key:*', count: 50 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 1000);
  assert.equal(await client.dbsize(), 1000);
}

async function server(client) {
  assert.match(await client.info(), /used_memory:\d+/);
  assert.match(await client.info('keyspace'), /db0:keys=1000/);
  assert.deepEqual(await client.config('GET', 'maxmemory'), ['maxmemory', String(256 * 1024 * 1024)]);
  assert.equal(await client.client('SETNAME', 'smoke'), 'OK');
  assert.equal(await client.client('GETNAME'), 'smoke');
  if (!isRedis) assert.match(await client.client('INFO'), /lib-name=ioredis/);
}

async function memory(client) {
  const flat = await client.memory('STATS');
  const stats = Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, n) => [flat[2 * n], flat[2 * n + 1]]));
  const whole = ['peak.allocated', 'total.allocated', 'startup.allocated', 'clients.normal', 'overhead.total',
    'keys.count', 'keys.bytes-per-key', 'dataset.bytes'];
  for (const name of whole) assert.ok(Number.isInteger(stats[name]), `${name} is ${stats[name]}`);
  for (const name of ['dataset.percentage', 'peak.percentage']) {
    const number = Number(stats[name]);
    assert.ok(number >= 0 && number <= 100, `${name} is ${stats[name]}`);
  }
  assert.equal(stats['keys.count'], 1000);
  assert.ok((await client.memory('USAGE', 'key:1')) > 0);
  assert.equal(await client.memory('USAGE', 'none'), null);
  assert.equal(await client.memory('PURGE'), 'OK');
  assert.equal(typeof (await client.memory('DOCTOR')), 'string');
}

async function main() {
  const client = new Redis({ host: '127.0.0.1', port, retryStrategy: () => null });
  client.on('error', () => {});
  await client.flushall();
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
