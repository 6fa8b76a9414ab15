import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { UsageError, context, kwargs, microservice, run, service } from "../src/index.mjs";
import { moduleName, nameServices, services } from "../src/service.mjs";
import { make, shared } from "./services/shared.mjs";

const add = microservice((x, y = 1) => x + y);
const keep = microservice((list) => list);
const total = microservice(function total() {
  return 1;
});
const [file, root] = [fileURLToPath(import.meta.url), fileURLToPath(new URL("..", import.meta.url))];
await nameServices([{ file, exports: { add, default: total, keep, shared, made: make() }, module: "tests.service" }], root);

test("outside of a hub a stub runs its function, with values as they travel", async () => {
  assert.equal(await add(1, 2), 3);
  const list = [1];
  assert.notEqual(await keep(list), list);
  await assert.rejects(keep(new WeakMap()), /type WeakMap cannot travel/);
  assert.equal(add.local(1), 2);
  assert.equal(await run(() => 5), 5);
});

test("what needs a hub says so", async () => {
  await assert.rejects(service("shop.double")(1), (error) => error instanceof UsageError && /under `msx up`/.test(error.message));
  assert.throws(context, UsageError);
  await assert.rejects(add(kwargs({ x: 1 })), /tests\.service\.add: kwargs/);
  await assert.rejects(microservice(() => 1)(kwargs({ x: 1 })), /service.test.mjs:\d+ has no name: export it/);
});

test("only functions are services", () => {
  assert.throws(() => microservice(5), /takes a function, not number/);
  assert.throws(() => microservice(class A {}), /takes no class/);
  assert.throws(() => microservice(async function* () {}), /takes no generator/);
  assert.throws(() => service(""), /the name of a service/);
});

test("options are checked where they are given", () => {
  assert.throws(() => add.options({ timeOut: 1 }), /options\(…\) knows no timeOut; it knows timeout, retries/);
  assert.throws(() => add.options({ timeout: 1.5 }), /timeout is a whole number of milliseconds, not 1.5/);
  assert.equal(typeof add.options({ timeout: 10, key: "k" }), "function");
});

test("a service has the name of the module that defines it", () => {
  const nameOf = (stub) => services.get(stub).name;
  assert.deepEqual([add, total, shared].map(nameOf), ["tests.service.add", "tests.service.total", "tests.services.shared.shared"]);
  const names = [...services.values()].map(({ name }) => name);
  assert.ok(names.includes("tests.service.made"), "one that is made elsewhere, that of its exporter");
});

test("modules are named like those of Python", () => {
  assert.equal(moduleName("services/prices.mjs"), "services.prices");
});
