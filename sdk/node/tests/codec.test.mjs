import assert from "node:assert/strict";
import test from "node:test";
import { decode, encode, encodeArguments } from "../src/codec.mjs";
import { DateTime, Extension, FrozenSet, Tuple } from "../src/index.mjs";
import { bytes, vectors } from "./vectors.mjs";

const golden = vectors("values.json");

for (const { python, bytes: hex } of [...golden.values, ...golden.shown]) {
  test(`${python} is read and written as the same bytes`, () => {
    assert.equal(encode(decode(bytes(hex))).toString("hex"), hex);
  });
}

for (const { python, bytes: hex, ident } of golden.arguments) {
  test(`the ident of ${python}`, () => {
    const [args, kwargs] = decode(bytes(hex));
    const encoded = encodeArguments(args, kwargs);
    assert.equal(encoded.payload.toString("hex"), hex);
    assert.equal(encoded.ident, ident);
  });
}

const again = (value) => decode(encode(value));

test("what JavaScript has a type for arrives as that", () => {
  for (const value of [null, true, 0, -1, 2 ** 53 - 1, -(2 ** 53) + 1, 1.5, -0, NaN, Infinity, "ä€😀", [1, ["x"]], { a: { b: null } }]) {
    assert.deepEqual(again(value), value);
  }
  assert.ok(Object.is(again(-0), -0));
});

test("whole numbers beyond 2^53 are bigint", () => {
  for (const value of [2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n), 2n ** 64n, -(2n ** 200n)]) assert.equal(again(value), value);
  assert.equal(again(7n), 7);
  assert.equal(again(2 ** 60), 2 ** 60, "a number that is not exact is a float");
});

test("lengths at the edges of their heads", () => {
  for (const length of [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536]) {
    assert.equal(again("x".repeat(length)).length, length);
    assert.equal(again(Array(length).fill(1)).length, length);
    assert.equal(again(new Uint8Array(length)).length, length);
    assert.equal(again(new Map(Array.from({ length }, (_, n) => [n, n]))).size ?? 0, length);
  }
});

test("undefined is null, and left out of objects", () => {
  assert.deepEqual(again([undefined, { a: undefined, b: 1 }]), [null, { b: 1 }]);
});

test("bytes, sets, maps and dates", () => {
  assert.deepEqual(again(Buffer.from([0, 255])), new Uint8Array([0, 255]));
  assert.deepEqual(again(new Set(["b", 1])), new Set([1, "b"]));
  assert.deepEqual(again(new Map([[1, "one"], ["two", 2]])), new Map([[1, "one"], ["two", 2]]));
  const date = again(new Date(1234567890123));
  assert.ok(date instanceof Date && date instanceof DateTime);
  assert.deepEqual([date.getTime(), date.text], [1234567890123, "2009-02-13T23:31:30.123000+00:00"]);
});

test("a date keeps what a Date cannot hold until it is changed", () => {
  const date = again(decode(encode(new DateTime("2024-02-29T12:30:01.000500+02:00"))));
  assert.equal(date.text, "2024-02-29T12:30:01.000500+02:00");
  date.setUTCFullYear(2025);
  assert.equal(date.text, "2025-03-01T10:30:01.000000+00:00");
});

test("types of Python travel back as they came", () => {
  const tuple = decode(bytes("c70301920102"));
  assert.ok(tuple instanceof Tuple && Array.isArray(tuple));
  assert.deepEqual([...tuple], [1, 2]);
  assert.ok(!(tuple.map((one) => one) instanceof Tuple), "a new array is a list");
  assert.ok(decode(bytes("c7030391a178")) instanceof FrozenSet);
  const point = decode(bytes("c7150c92ac676f6c64656e3a506f696e7482a17801a17902"));
  assert.ok(point instanceof Extension);
  assert.deepEqual([point.type, point.fields], ["dataclass", { x: 1, y: 2 }]);
  assert.equal(String(decode(bytes("c70509a4312e3130"))), "1.10");
});

test("a key is a key, whatever it is called", () => {
  const value = again(JSON.parse('{"__proto__": 1, "constructor": 2}'));
  assert.deepEqual(Object.keys(value), ["__proto__", "constructor"]);
});

test("what cannot travel is refused with advice", () => {
  class Own {}
  const ring = [];
  ring.push(ring);
  for (const [value, says] of [
    [() => 1, /a function cannot travel/],
    [Symbol("s"), /a symbol cannot travel/],
    [new Own(), /type Own cannot travel; send a plain object/],
    [Promise.resolve(1), /type Promise cannot travel; await it first/],
    ["\ud800", /lone surrogates/],
    [new Date(NaN), /invalid Date/],
    [ring, /contains itself/],
  ]) {
    assert.throws(() => encode(value), (error) => error instanceof TypeError && says.test(error.message));
  }
});

test("no bytes are more than an error", () => {
  let state = 1;
  const random = (below) => (state = (state * 48271) % 2147483647) % below;
  const samples = [...golden.values, ...golden.shown].map(({ bytes: hex }) => bytes(hex));
  for (let n = 0; n < 20_000; n++) {
    const sample = Buffer.from(samples[random(samples.length)]);
    for (let changes = random(4); changes >= 0; changes--) sample[random(sample.length)] = random(256);
    try {
      decode(sample.subarray(0, 1 + random(sample.length)));
    } catch (error) {
      assert.ok(error instanceof Error && !(error instanceof RangeError), `${sample.toString("hex")}: ${error}`);
    }
  }
});
