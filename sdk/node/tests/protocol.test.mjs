import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import { crc32, encodeArguments } from "../src/codec.mjs";
import { Splitter, decodeMessage, frames } from "../src/protocol.mjs";
import { bytes, vectors } from "./vectors.mjs";

const golden = vectors("messages.json");

/** Of the messages that this SDK sends, its frames. */
const SENT = {
  hello: (f) => frames.hello(Object.values(f)),
  pong: (f) => frames.pong(f.nonce),
  stack: (f) => frames.stack(f.call, f.attempt, f.text),
  stacks: (f) => frames.stacks(f.nonce, f.stacks),
  calls: (f) => frames.calls(f.call, f.attempt, f.entries, f.wait),
  return: (f) => frames.returned(f.call, f.attempt, f.value, f.micros),
  raise: (f) => frames.raised(f.call, f.attempt, f.error),
  evicted: (f) => frames.evicted(f.call, f.attempt),
  memo: ({ call, attempt, ...rest }) => frames.memo(call, attempt, Object.values(rest)),
  summary: (f) => frames.summary(f.call, f.attempt, f.text),
};
/** What it does not send: a difference with the call before, which an error may have beside it. */
const isUnsent = ({ fields }) => "difference" in fields;
/** Of those that it gets, how many fields it knows; later ones may be added. */
const RECEIVED = { ping: 1, interrupt: 3, drain: 0, askback: 1, askstacks: 1, run: 8, resume: 3, evict: 2 };

const plain = (value) => {
  if (typeof value?.hex === "string") return bytes(value.hex);
  if (Array.isArray(value)) return value.map(plain);
  return value;
};
const fieldsOf = (vector) => Object.fromEntries(Object.entries(vector.fields).map(([name, value]) => [name, plain(value)]));

for (const vector of golden) {
  const [kind] = vector.name.split(",");
  if (kind in SENT && !isUnsent(vector)) {
    test(`${vector.name} is written as the golden bytes`, () => {
      assert.equal(SENT[kind](fieldsOf(vector)).toString("hex"), vector.hex);
    });
  } else if (kind in RECEIVED) {
    test(`${vector.name} is read from the golden bytes`, () => {
      const seen = [];
      new Splitter().push(bytes(vector.hex), (tag, body) => seen.push(decodeMessage(tag, body)));
      const [{ tag, ...message }] = seen;
      const asBytes = (value) => (value instanceof Uint8Array ? Buffer.from(value) : Array.isArray(value) ? value.map(asBytes) : value);
      const known = Object.values(fieldsOf(vector)).slice(0, RECEIVED[kind]);
      assert.deepEqual(Object.values(message).map(asBytes), known);
      assert.equal(tag, bytes(vector.hex)[4]);
    });
  }
}

test("there is a vector for each message", () => {
  const kinds = new Set(golden.map(({ name }) => name.split(",")[0]));
  assert.deepEqual([...Object.keys(SENT), ...Object.keys(RECEIVED)].filter((kind) => !kinds.has(kind)), []);
});

test("a stream is cut into messages wherever it is broken", () => {
  const stream = Buffer.concat(golden.filter(({ channel }) => channel === "hub lane").map(({ hex }) => bytes(hex)));
  const whole = [];
  new Splitter().push(stream, (tag, body) => whole.push([tag, body.toString("hex")]));
  for (const size of [1, 2, 3, 7, 64]) {
    const [splitter, seen] = [new Splitter(), []];
    for (let at = 0; at < stream.length; at += size) {
      splitter.push(stream.subarray(at, at + size), (tag, body) => seen.push([tag, body.toString("hex")]));
    }
    assert.deepEqual(seen, whole);
  }
});

test("what is no message is an error", () => {
  const push = (hex) => () => new Splitter().push(bytes(hex), (tag, body) => decodeMessage(tag, body));
  assert.throws(push("00000000ff"), /a message of 0 bytes/);
  assert.throws(push("ffffffffff"), /a message of 4294967295 bytes/);
  assert.throws(push("020000007790"), /unexpected tag 119/);
  assert.throws(push("0200000020c0"), /tag 32 that is no array/);
  assert.throws(push("020000002093"), /malformed message with tag 32/);
});

test("the bytes that docs/protocol.md shows are true", () => {
  const page = fs.readFileSync(new URL("../../../docs/protocol.md", import.meta.url), "utf8");
  const joined = (text) => text.replaceAll(/\s/g, "");
  const hexOf = (name) => golden.find((vector) => vector.name === name).hex;
  const [, block] = /as its bytes[^`]*(?:`[^`]+`[^`]*)*?```\n([^`]+)```/.exec(page);
  const columns = block.trim().split("\n").map((line) => line.slice(0, 30));
  assert.equal(joined(columns.join("")), hexOf("run, other 2"));
  const [, answer] = /not measured: `([0-9a-f ]+)`/.exec(page);
  assert.equal(joined(answer), hexOf("return, other"));
  const idents = [...page.matchAll(/(?:payload|canonical) +([0-9a-f ]+?) {2,}ident 0x([0-9a-f]{8})/g)];
  assert.equal(idents.length, 2);
  for (const [, canonical, ident] of idents) assert.equal(crc32(bytes(joined(canonical))), parseInt(ident, 16));
  const shown = [...page.matchAll(/payload +([0-9a-f ]+?)(?: {2,}.*)?\n/g)].map(([, payload]) => joined(payload));
  const calls = [[1, "two", null], [{ b: 1, aa: 2 }], [{ aa: 2, b: 1 }]];
  assert.deepEqual(shown, calls.map((args) => encodeArguments(args, {}).payload.toString("hex")));
});
