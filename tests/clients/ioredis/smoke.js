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

async function types(client) {
  assert.equal(await client.hset('hash', { one: 1, two: 'zwei' }), 2);
  assert.deepEqual(await client.hgetall('hash'), { one: '1', two: 'zwei' });
  assert.equal(await client.hincrby('hash', 'one', 41), 42);
  assert.deepEqual((await client.hscan('hash', 0))[0], '0');
  assert.equal(await client.rpush('list', 'a', 'b', 'c'), 3);
  assert.deepEqual(await client.lrange('list', 0, -1), ['a', 'b', 'c']);
  assert.equal(await client.lmove('list', 'list2', 'LEFT', 'RIGHT'), 'a');
  assert.equal(await client.sadd('set', 1, 2, 3), 3);
  assert.deepEqual((await client.smembers('set')).sort(), ['1', '2', '3']);
  await client.sadd('set2', 3, 4);
  assert.deepEqual(await client.sinter('set', 'set2'), ['3']);
  assert.equal(await client.zadd('zset', 1, 'a', 2.5, 'b'), 2);
  assert.deepEqual(await client.zrange('zset', 0, -1, 'WITHSCORES'), ['a', '1', 'b', '2.5']);
  assert.equal(await client.zunionstore('zset2', 2, 'zset', 'set'), 5);
  assert.equal(await client.geoadd('geo', 13.361389, 38.115556, 'Palermo'), 1);
  assert.deepEqual(await client.geohash('geo', 'Palermo'), ['sqc8b49rny0']);
  const id = await client.xadd('stream', '*', 'field', 'value');
  assert.deepEqual(await client.xrange('stream', '-', '+'), [[id, ['field', 'value']]]);
  assert.equal(await client.xgroup('CREATE', 'stream', 'group', '0'), 'OK');
  assert.equal((await client.xreadgroup('GROUP', 'group', 'me', 'STREAMS', 'stream', '>'))[0][1][0][0], id);
  assert.equal(await client.xack('stream', 'group', id), 1);
  assert.equal(await client.setbit('bits', 7, 1), 0);
  assert.equal(await client.bitcount('bits'), 1);
  assert.equal(await client.pfadd('sketch', 'a', 'b'), 1);
  assert.equal(await client.pfcount('sketch'), 2);
  assert.deepEqual(await client.sort('list', 'ALPHA', 'DESC'), ['c', 'b']);
  const payload = await client.dumpBuffer('hash');
  assert.equal(await client.restore('copy', 0, payload, 'REPLACE'), 'OK');
  assert.deepEqual(await client.hgetall('copy'), await client.hgetall('hash'));
  await assert.rejects(client.lpush('hash', 'x'), /WRONGTYPE/);
  await client.unlink('hash', 'list', 'list2', 'set', 'set2', 'zset', 'zset2', 'geo', 'stream', 'bits', 'sketch', 'copy');
}

async function main() {
  const client = new Redis({ host: '127.0.0.1', port, retryStrategy: () => null });
  client.on('error', () => {});
  await client.flushall();
  for (const group of [types, strings, scans, server, memory]) {
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
