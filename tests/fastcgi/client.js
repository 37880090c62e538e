// client.js SOCKET [ARGUMENT...] - a FastCGI client that can send what no web server sends.  SOCKET
// is the path of a unix socket, or HOST:PORT.  Standard input is the body of an async function,
// which can use:
//
//   request(uri, options)       the bytes of a whole request.  Options: role, keep, id, params (in
//                               addition, sent first), body, stdin (false: no end of the body)
//   record(type, content, id, padding)   begin(role, flags, id)   pairs({name: value})
//   T, ROLE                     record types and roles by name
//   connect()                   a connection:
//     .send(bytes...)           write
//     .flush()                  wait until the kernel has taken what was written
//     .answer(ms)               the next answer as a line: '1: 200 4 left, complete'; 'closed';
//                               'silent' if there is none after ms
//     .next(ms)                 the same as an object, or one of those words
//     .other                    records that belong to no answer, as lines
//     .left(ms)                 'kept' or 'closed', after nothing has arrived for ms
//     .drop()                   close
//   ask(uri, options)           connect, send a request, return the answer
//   repeat(n, f), all(n, f)     call f n times, one after the other or all at once
//   took(f)                     the ms that f takes
//   print(...)  sleep(ms)  now(): ms  args
//
// The exit status is 1 if the script throws.  It is stopped after 300 s.
'use strict';

const net = require('net');
const { readFileSync } = require('fs');

const T = { BEGIN: 1, ABORT: 2, END: 3, PARAMS: 4, STDIN: 5, STDOUT: 6, STDERR: 7, DATA: 8, GET_VALUES: 9,
  GET_VALUES_RESULT: 10, UNKNOWN_TYPE: 11 };
const ROLE = { RESPONDER: 1, AUTHORIZER: 2, FILTER: 3 };
const STATUS = ['complete', 'cannot multiplex', 'overloaded', 'unknown role'];
const KEEP = 1;

const [target, ...args] = process.argv.slice(2);

function record(type, content = '', id = 1, padding = 0) {
  const bytes = Buffer.from(content);
  const head = Buffer.from([1, type, id >> 8, id & 255, bytes.length >> 8, bytes.length & 255, padding, 0]);
  return Buffer.concat([head, bytes, Buffer.alloc(padding)]);
}

const begin = (role = ROLE.RESPONDER, flags = 0, id = 1) =>
  record(T.BEGIN, [role >> 8, role & 255, flags, 0, 0, 0, 0, 0], id);

function size(length) {
  if (length < 128) return Buffer.from([length]);
  const four = Buffer.alloc(4);
  four.writeUInt32BE(length + 0x80000000);
  return four;
}

function pairs(values) {
  return Buffer.concat(Object.entries(values).flatMap(([name, value]) =>
    [size(name.length), size(Buffer.byteLength(value)), Buffer.from(name), Buffer.from(value)]));
}

// CONTENT in records of TYPE, and the empty record that ends them.
function stream(type, content, id) {
  const parts = [];
  for (let at = 0; at < content.length; at += 65535) parts.push(record(type, content.subarray(at, at + 65535), id));
  return Buffer.concat([...parts, record(type, '', id)]);
}

// A request as nginx and lighttpd send it.
function request(uri, { role = ROLE.RESPONDER, keep = false, id = 1, params = {}, body = '', stdin = true } = {}) {
  const values = pairs({ ...params, REQUEST_METHOD: body ? 'POST' : 'GET', REQUEST_URI: uri,
    QUERY_STRING: uri.split('?')[1] || '', REMOTE_ADDR: '192.0.2.1',
    ...(body && !('CONTENT_LENGTH' in params) ? { CONTENT_LENGTH: String(body.length) } : {}) });
  const whole = [begin(role, keep ? KEEP : 0, id), stream(T.PARAMS, values, id)];
  if (stdin) whole.push(stream(T.STDIN, Buffer.from(body), id));
  return Buffer.concat(whole);
}

function line(answer) {
  if (typeof answer === 'string') return answer;
  const status = /^Status: (\d+)/.exec(answer.out);
  const left = /"remaining":(\d+)|Variable-RATELIMIT_REMAINING: (\d+)/.exec(answer.out);
  return `${answer.id}: ${status ? status[1] : 'nothing'}${left ? ` ${left[1] ?? left[2]} left` : ''}, ${STATUS[answer.protocol]}`;
}

class Connection {
  constructor(socket) {
    this.socket = socket;
    this.input = Buffer.alloc(0);
    this.out = new Map();
    this.ready = [];
    this.other = [];
    this.closed = false;
    this.changed = () => {};
    socket.on('data', (bytes) => this.take(bytes));
    socket.on('error', () => {});
    socket.on('end', () => this.over());
    socket.on('close', () => this.over());
  }

  over() {
    this.closed = true;
    this.changed();
  }

  take(bytes) {
    this.input = Buffer.concat([this.input, bytes]);
    while (this.input.length >= 8) {
      const length = this.input.readUInt16BE(4), whole = 8 + length + this.input[6];
      if (this.input.length < whole) break;
      this.record(this.input[1], this.input.readUInt16BE(2), this.input.subarray(8, 8 + length));
      this.input = this.input.subarray(whole);
    }
    this.changed();
  }

  record(type, id, content) {
    if (type === T.STDOUT) this.out.set(id, (this.out.get(id) || '') + content.toString('latin1'));
    else if (type === T.END) {
      this.ready.push({ id, out: this.out.get(id) || '', app: content.readUInt32BE(0), protocol: content[4] });
      this.out.delete(id);
    } else this.other.push(`${Object.keys(T).find((name) => T[name] === type)} ${JSON.stringify(content.toString('latin1'))}`);
  }

  // Uses one writev(2), without copying large pieces.
  send(...bytes) {
    if (this.socket.destroyed) return;
    this.socket.cork();
    for (const part of bytes) this.socket.write(Buffer.isBuffer(part) ? part : Buffer.from(part));
    this.socket.uncork();
  }

  flush() { return new Promise((done) => { this.socket.write('', done); }); }

  next(ms = 30000) {
    return new Promise((done) => {
      const timer = setTimeout(() => finish('silent'), ms);
      const finish = (what) => {
        clearTimeout(timer);
        this.changed = () => {};
        done(what);
      };
      this.changed = () => {
        if (this.ready.length > 0) finish(this.ready.shift());
        else if (this.closed) finish('closed');
      };
      this.changed();
    });
  }

  async answer(ms) { return line(await this.next(ms)); }

  async left(ms = 100) {
    const next = await this.next(ms);
    if (next === 'silent') return 'kept';
    if (next !== 'closed') throw new Error(`an answer without a request: ${line(next)}`);
    return next;
  }

  drop() { this.socket.destroy(); }
}

function connect() {
  const [, host, port] = /^(.*):(\d+)$/.exec(target) || [];
  const socket = net.connect(host ? { host, port: Number(port), noDelay: true } : { path: target });
  return new Promise((done, failed) => {
    socket.once('connect', () => done(new Connection(socket)));
    socket.once('error', failed);
  });
}

async function ask(uri, options) {
  const bytes = request(uri, options), connection = await connect();
  connection.send(bytes);
  const answer = await connection.answer();
  connection.drop();
  return answer;
}

const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });
const now = () => performance.now();
const took = async (f) => { const from = now(); await f(); return now() - from; };
const print = (...what) => console.log(...what);
async function repeat(n, f) { for (let i = 0; i < n; i++) await f(i); }
const all = (n, f) => Promise.all(Array.from({ length: n }, (_, i) => f(i)));

const scope = { require, T, ROLE, KEEP, args, record, begin, pairs, stream, request, connect, ask, line, sleep, now, took, print, repeat, all };
const AsyncFunction = (async () => {}).constructor;
setTimeout(() => { console.error('client.js: cut off'); process.exit(1); }, 300000).unref();
new AsyncFunction(...Object.keys(scope), readFileSync(0, 'utf8'))(...Object.values(scope))
  .then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
