// webdriver.js start|stop - begin a session of Chromium, and print its id; end the session SESSION.
// webdriver.js - run the body of an async function on standard input in SESSION.  It can use:
//
//   open(url)                     load a page
//   page(f, ...args)              call the function F in the page, return what it returns
//   eventually(f, ...args)        the same until it returns something true, for a minute
//   size(width, height)           of the window, as that of a phone
//   media({name: value})          what a media query finds, such as prefers-color-scheme
//   headers({name: value})        sent with each request from now on
//   keys(text)                    press keys where the focus is; TAB is one
//   screenshot(file)              as PNG, of the whole page
//   said()                        the console's lines since the last call
//   requested()                   the URLs requested since the last call, except data: and chrome:
//   print(...)  sleep(ms)  env
//
// chromedriver (https://www.w3.org/TR/webdriver2/) listens on DRIVER_PORT.  The exit status is 1 if
// the script throws.
'use strict';

const { readFileSync, writeFileSync } = require('fs');

const { env } = process;
const print = console.log;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const TAB = '\ue004';

async function driver(method, path, body) {
  const answer = await fetch(`http://127.0.0.1:${env.DRIVER_PORT}/session${path}`,
    { method, body: body && JSON.stringify(body) });
  const { value } = await answer.json();
  if (!answer.ok) throw new Error(`${value.error}: ${value.message}`);
  return value;
}
const session = (method, path, body) => driver(method, `/${env.SESSION}${path}`, body);
const devtools = (cmd, params) => session('POST', '/goog/cdp/execute', { cmd, params });

// Nothing is downloaded or reported behind the test's back.
const ARGUMENTS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-extensions', '--disable-default-apps', '--no-default-browser-check', '--window-size=1280,900'];

async function start(folder) {
  const { sessionId } = await driver('POST', '', { capabilities: { alwaysMatch: {
    'goog:chromeOptions': { args: [...ARGUMENTS, `--user-data-dir=${folder}`] },
    'goog:loggingPrefs': { browser: 'ALL', performance: 'ALL' },
    timeouts: { script: 60000, pageLoad: 60000 },
  } } });
  print(sessionId);
}

const open = (url) => session('POST', '/url', { url });
const page = (f, ...args) => session('POST', '/execute/sync', { script: `return (${f})(...arguments)`, args });

async function eventually(f, ...args) {
  for (const end = Date.now() + 60000; ; await sleep(50)) {
    const value = await page(f, ...args);
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within a minute: ${f}\n${await page(() => document.body.innerText)}`);
  }
}

const size = (width, height) =>
  devtools('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 2, mobile: true });
const media = (features) => devtools('Emulation.setEmulatedMedia',
  { features: Object.entries(features).map(([name, value]) => ({ name, value })) });

async function headers(values) {
  await devtools('Network.enable', {});
  await devtools('Network.setExtraHTTPHeaders', { headers: values });
}

function keys(text) {
  const actions = [...text].flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }]);
  return session('POST', '/actions', { actions: [{ type: 'key', id: 'keyboard', actions }] });
}

async function screenshot(file) {
  const { data } = await devtools('Page.captureScreenshot', { captureBeyondViewport: true, format: 'png' });
  writeFileSync(file, Buffer.from(data, 'base64'));
}

const log = (type) => session('POST', '/se/log', { type });
const said = async () => (await log('browser')).map(({ level, message }) => `${level} ${message}`);
const requested = async () => (await log('performance')).map(({ message }) => JSON.parse(message).message)
  .filter(({ method }) => method === 'Network.requestWillBeSent').map(({ params }) => params.request.url)
  .filter((url) => !/^(data|chrome):/.test(url));

async function script() {
  const AsyncFunction = (async () => {}).constructor;
  const tools = { open, page, eventually, size, media, headers, keys, TAB, screenshot, said, requested, print, sleep, env };
  await new AsyncFunction(...Object.keys(tools), readFileSync(0, 'utf8'))(...Object.values(tools));
}

const [command, folder] = process.argv.slice(2);
const commands = { start: () => start(folder), stop: () => session('DELETE', '') };
(commands[command] || script)().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
