// What a person sees of a server: looks at its page with a browser, as PINYON_PAGE, and ends the server on PINYON_PORT at last.
// Fails by its exit code and says why. PINYON_PICTURES names a directory for pictures of what was looked at.
'use strict';
const assert = require('node:assert');
const net = require('node:net');
const { Browser } = require('./browser.js');

const { PINYON_PAGE, PINYON_PORT, PINYON_SHARDS, PINYON_EVIL, PINYON_CHROMIUM, PINYON_PICTURES } = process.env;
const rows = id => `document.querySelectorAll('#${id} .bar:not(.head)').length`;
const text = selector => `document.querySelector(${JSON.stringify(selector)}).textContent`;

async function look(browser) {
  const page = await browser.open(PINYON_PAGE);
  await page.until(`document.querySelector('#state').className === 'live'`);
  assert.equal(await page.evaluate(rows('shards')), Number(PINYON_SHARDS));
  assert.match(await page.evaluate(text('#used')), /^[0-9.]+(KiB|MiB)$/);
  assert.ok((await page.evaluate(`document.querySelectorAll('#stack > div').length`)) >= 5);
  const tiles = await page.evaluate(`[...document.querySelectorAll('#map button')].map(node => node.getAttribute('aria-label'))`);
  assert.ok(tiles.some(label => label.startsWith('session:')), tiles.join());
  assert.ok((await page.evaluate(rows('types'))) >= 3);

  // When the limit is met is told where enough is known, and not of a limit that is met.
  const ahead = (bytes, covered) => page.evaluate(`drawTrend({ total: { bytes: ${bytes}, maxmemory: 100, "1h": { "growth.bytes": 1, "covered.seconds": ${covered}, "bytes.per.minute": 1, "seconds.until.maxmemory": 7200 } } }), document.querySelector('#trend td:last-child').textContent`);
  assert.match(await ahead(50, 600), /^2\s*h/);
  assert.equal(await ahead(50, 5), '–');
  assert.equal(await ahead(100, 600), 'met');

  // A name of a key is text, whatever stands in it.
  const keys = await page.evaluate(`[...document.querySelectorAll('#keys td:first-child')].map(node => node.textContent)`);
  assert.ok(keys.includes(PINYON_EVIL), keys.join());
  assert.equal(await page.evaluate(`document.querySelectorAll('img, iframe, script').length`), 1);
  assert.equal(await page.evaluate(`typeof window.harmed`), 'undefined');

  // A prefix filters the keys; once more takes the filter away.
  const first = '#map button[aria-label^="board:"]';
  await page.click(first);
  await page.until(`!document.querySelector('#chip').hidden`);
  const filtered = await page.evaluate(`[...document.querySelectorAll('#keys td:first-child')].map(node => node.textContent)`);
  assert.deepEqual(filtered, ['board:weekly']);
  await page.click(first);
  await page.until(`document.querySelector('#chip').hidden`);

  await page.hover('#stack > div');
  await page.until(`!document.querySelector('#tip').hidden`);
  assert.match(await page.evaluate(text('#tip')), /keys and values/);
  await page.until(`document.querySelectorAll('#growth svg path').length >= 3`);
  if (PINYON_PICTURES) await page.fullPicture(`${PINYON_PICTURES}/page-light.png`);

  // Nothing but the page and its figures is asked for, and only here.
  const origin = new URL(PINYON_PAGE).origin;
  for (const request of page.requests) assert.ok(request.startsWith(origin) || request.startsWith('data:'), request);
  const size = await page.evaluate(`fetch('/').then(answer => answer.text()).then(text => text.length)`);
  assert.ok(size < 60000, `${size} bytes`);
  assert.deepEqual(page.errors, []);
  return page;
}

async function lookOnAPhone(browser) {
  const page = await browser.open(PINYON_PAGE, { width: 390, height: 844, dark: true, phone: true });
  await page.until(`document.querySelector('#state').className === 'live'`);
  assert.ok(await page.evaluate(`document.documentElement.scrollWidth <= innerWidth`), 'it is as wide as the screen');
  const [red] = (await page.evaluate(`getComputedStyle(document.documentElement).backgroundColor`)).match(/\d+/g);
  assert.ok(Number(red) < 60, 'it is dark');
  if (PINYON_PICTURES) await page.fullPicture(`${PINYON_PICTURES}/page-phone.png`);
  assert.deepEqual(page.errors, []);
}

// A page that is open says so when the server is gone, and keeps what it knew.
async function loseTheServer(page) {
  await page.send('Page.bringToFront');
  await new Promise((done, failed) => {
    const socket = net.connect(Number(PINYON_PORT), '127.0.0.1', () => socket.write('SHUTDOWN NOSAVE\r\n'));
    socket.on('close', done);
    socket.on('error', failed);
    socket.resume();
  });
  await page.until(`document.querySelector('#state').className === 'gone' && !document.querySelector('#notice').hidden`);
  assert.match(await page.evaluate(text('#notice')), /does not answer/);
  assert.match(await page.evaluate(text('#used')), /iB$/);
}

(async () => {
  const browser = new Browser(PINYON_CHROMIUM);
  try {
    const page = await look(browser);
    await lookOnAPhone(browser);
    await loseTheServer(page);
  } finally {
    await browser.close();
  }
})().catch(why => {
  console.error(why);
  process.exit(1);
});
