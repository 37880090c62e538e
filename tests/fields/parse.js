// parse.js - read the head of an HTTP response, print its RateLimit fields, one item a line:
//
//   RateLimit-Policy per-user q=5 w=60
//   RateLimit per-user r=4 t=48
//   RateLimit-Shadow new
//
// A field that is not there prints nothing.  Exit status 1 and a message for one that is no List of Strings
// with Integer parameters (RFC 9651), or is not written as RFC 9651, 4.1 has it.
// The parser is npm's structured-headers as it was published, so that the tests need Node and no more.
'use strict';

const { readFileSync } = require('fs');
const { parseList, serializeList } = require('./structured-headers-2.1.0/index.cjs');

function values(head, name) {
  const lines = head.matchAll(new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*$`, 'gim'));
  return [...lines].map(([, value]) => value);
}

// A Token, a Display String and an Inner List are objects.  The name is printed bare, so it has
// to be one that a limits file can give.
function itemLine([name, parameters]) {
  if (typeof name !== 'string') throw new Error('an item is no String');
  if (!/^[\w.-]{1,64}$/.test(name)) throw new Error(`no limit can be called ${JSON.stringify(name)}`);
  const pairs = [...parameters].map(([key, value]) => {
    if (!Number.isInteger(value)) throw new Error(`parameter ${key} is no Integer`);
    return ` ${key}=${value}`;
  });
  return name + pairs.join('');
}

// To write it again shows what the values alone do not: a Decimal such as 5.0, a parameter given twice.
function itemLines(value) {
  const list = parseList(value);
  if (list.length === 0) throw new Error('an empty List is not to be sent');
  const lines = list.map(itemLine);
  if (serializeList(list) !== value) throw new Error(`is to be written ${serializeList(list)}`);
  return lines;
}

const head = readFileSync(0, 'latin1');
for (const name of ['RateLimit-Policy', 'RateLimit', 'RateLimit-Shadow']) {
  const found = values(head, name);
  if (found.length === 0) continue;
  const value = found.join(', ');
  try {
    for (const line of itemLines(value)) console.log(name, line);
  } catch (error) {
    console.error(`${name}: ${value}\n${error.message}`);
    process.exitCode = 1;
  }
}
