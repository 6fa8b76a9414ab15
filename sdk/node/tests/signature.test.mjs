import assert from "node:assert/strict";
import test from "node:test";
import { bind, describe, parametersOf } from "../src/signature.mjs";

const text = (fn) => describe(fn).text;

test("parameters are read from every kind of function", () => {
  assert.equal(text((x, y) => x + y), "(x, y)");
  assert.equal(text((x) => x), "(x)");
  // prettier-ignore
  assert.equal(text(async x => x), "(x)");
  assert.equal(text(() => 1), "()");
  assert.equal(text(function named(a, b = 2) { return a + b; }), "(a, b=2)");
  assert.equal(text(async function (a, ...rest) { return rest; }), "(a, *rest)");
  assert.equal(text({ method(a, b) { return a + b; } }.method), "(a, b)");
  assert.equal(text(({ x, y }) => x + y), "(**options)");
  assert.equal(text(([x], $y) => x + $y), "(arg0, $y)");
});

test("brackets, strings and comments in defaults are no parameters", () => {
  assert.equal(text((a = "(,", b = [1, 2], /* c, */ d = { e: ")" }) => a), '(a="(,", b=[1, 2], d={ e: ")" })');
  assert.equal(text((
    a, // the first, of two
    b = `x,${"y"}`,
  ) => a + b), '(a, b=`x,${"y"}`)');
});

test("arguments by name come to their places", () => {
  const parameters = parametersOf((a, b = 2, c = 3) => [a, b, c]);
  assert.deepEqual(bind("f", parameters, [1], { c: 4 }), [1, , 4]);
  assert.deepEqual(bind("f", parameters, [1, 2, 3, 4], {}), [1, 2, 3, 4]);
  assert.throws(() => bind("f", parameters, [1], { a: 2 }), /f\(\) got two values for its parameter a/);
  assert.throws(() => bind("f", parameters, [], { d: 2 }), /f\(\) has no parameter d/);
});

test("an object that is taken apart gets the arguments by name", () => {
  const parameters = parametersOf((a, { b, c }) => [a, b, c]);
  assert.deepEqual(bind("f", parameters, [], { a: 1, b: 2, c: 3 }), [1, { b: 2, c: 3 }]);
  assert.deepEqual(bind("f", parameters, [1, { b: 2 }], {}), [1, { b: 2 }]);
});
