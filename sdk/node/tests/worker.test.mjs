import assert from "node:assert/strict";
import test from "node:test";
import { decode, encode, encodeArguments } from "../src/codec.mjs";
import { Hub } from "./fake_hub.mjs";

async function withWorker(name, check) {
  const hub = await Hub.start(`services.calls.${name}`);
  try {
    await check(hub);
    assert.deepEqual(hub.unread, []);
    assert.deepEqual(await hub.stop(), { code: 0, signal: null }, hub.stderr);
    assert.equal(hub.stdout, "stopped\n");
  } finally {
    hub.child.kill("SIGKILL");
  }
}

test("a worker says hello, serves, counts and drains", () =>
  withWorker("plain", async (hub) => {
    const [protocol, , runtime, pid, name, kind, signature] = hub.hello;
    assert.deepEqual([protocol, pid, name, kind], [1, hub.child.pid, "services.calls.plain", "async"]);
    assert.equal(runtime, `node ${process.versions.node}`);
    assert.equal(JSON.parse(Buffer.from(signature).toString()).text, "(x, y)");
    assert.equal(hub.begun, 0);
    hub.run(7, [1, 2]);
    assert.deepEqual(await hub.returned(), { call: 7, attempt: 1, value: 3 });
    hub.run(8, [1], { kwargs: { y: 5 } });
    assert.equal((await hub.returned()).value, 6);
    assert.equal(hub.begun, 2);
    hub.control(17, 99);
    assert.deepEqual(await hub.next(2), [99]);
  }));

test("a call parks for what it awaits, and goes on with it", () =>
  withWorker("asks", async (hub) => {
    hub.run(1, [5]);
    const { payload, ident } = encodeArguments([5], {});
    const [call, attempt, [entry], wait] = await hub.next(48);
    assert.deepEqual([call, attempt, wait], [1, 1, [0, [0]]]);
    assert.deepEqual(entry, [0, "other.one", ident, new Uint8Array(payload), null]);
    hub.control(22, 3);
    const [nonce, [[name, , , state, text]]] = await hub.next(4);
    assert.deepEqual([nonce, name, state], [3, "call", "parked"]);
    assert.match(text, /waits for other\.one\n\s+at .*calls\.mjs:\d+/);
    hub.resume(1, [[0, 6]]);
    assert.deepEqual((await hub.next(48))[3], [0, [1]]);
    hub.resume(1, [[1, 8]]);
    assert.deepEqual((await hub.returned()).value, [6, 8]);
  }));

test("several waits are one, and results are handed over in the recorded order", () =>
  withWorker("both", async (hub) => {
    hub.run(1, []);
    const [, , entries, wait] = await hub.next(48);
    assert.deepEqual([entries.length, wait], [2, [1, [0, 1]]]);
    hub.resume(1, [[1, "second"], [0, "first"]]);
    assert.deepEqual((await hub.returned()).value, ["second", "first"]);
    const recorded = (seq, name, value) => [seq, "other.one", encodeArguments([name], {}).ident, true, encode(value)];
    hub.run(2, [], { attempt: 2, results: [recorded(1, "b", "second"), recorded(0, "a", "first")] });
    assert.deepEqual((await hub.returned()).value, ["second", "first"]);
  }));

test("a gather waits once for all", () =>
  withWorker("gathers", async (hub) => {
    hub.run(1, []);
    assert.deepEqual((await hub.next(48))[3], [0, [0, 1]]);
    hub.resume(1, [[1, "b"], [0, "a"]]);
    assert.deepEqual((await hub.returned()).value, ["a", 5, "b"]);
  }));

test("an evicted attempt never goes on, and leaves nothing behind", async () => {
  await withWorker("holds", async (hub) => {
    hub.run(1, []);
    await hub.next(48);
    hub.evict(1);
    assert.deepEqual(await hub.next(51), [1, 1]);
    hub.resume(1, [[0, "late"]]);
    hub.run(2, ["gone?"]);
    assert.deepEqual(await hub.returned(), { call: 2, attempt: 1, value: true });
    const recorded = [[0, "other.one", encodeArguments([1], {}).ident, true, encode(2)]];
    hub.run(1, [], { attempt: 2, results: recorded });
    assert.deepEqual(await hub.returned(), { call: 1, attempt: 2, value: 1_000_000 });
  });
});

test("a replay that asks for something else is an error", () =>
  withWorker("asks", async (hub) => {
    hub.run(1, [5], { attempt: 2, results: [[0, "other.two", 1, true, encode(6)]] });
    const error = await hub.raised();
    assert.equal(error.type, "msx.NonDeterminismError");
    assert.match(error.message, /call number 0 was other\.two \(arguments 00000001\), and is now other\.one .* at .*calls\.mjs:\d+/);
  }));

test("a memo is recorded, and not made again", () =>
  withWorker("memo", async (hub) => {
    hub.run(1, []);
    const [call, attempt, seq, ident, ok, payload, known] = await hub.next(52);
    assert.deepEqual([call, attempt, seq, ok, decode(payload), known], [1, 1, 0, true, 7, 0]);
    assert.deepEqual((await hub.next(48))[3], [0, [1]]);
    hub.evict(1);
    await hub.next(51);
    const results = [[0, "msx.run", ident, true, payload], [1, "other.one", encodeArguments([1], {}).ident, true, encode(9)]];
    hub.run(1, [], { attempt: 2, results });
    assert.deepEqual((await hub.returned()).value, [7, 9]);
  }));

test("what is used in the wrong place says so", async () => {
  await withWorker("nested", async (hub) => {
    hub.run(1, []);
    assert.equal((await hub.next(52))[4], false);
    assert.match((await hub.raised()).message, /other\.one was called inside of run\(…\)/);
  });
  await withWorker("late", async (hub) => {
    hub.run(1, []);
    assert.equal((await hub.returned()).value, 1);
    hub.run(2, []);
    await hub.returned();
    while (!hub.stderr.includes("was called by code whose call has ended")) await new Promise((resolve) => setImmediate(resolve));
  });
});

test("a call knows its id, its attempt and its deadline", () =>
  withWorker("told", async (hub) => {
    hub.run(1, [], { attempt: 3, remaining: 5000 });
    const expected = { id: "call1", via: null, attempt: 3, isReplay: true, deadline: true, aborted: false };
    assert.deepEqual((await hub.returned()).value, expected);
  }));

test("an interrupted call ends with Cancelled, also when the interrupt comes first", () =>
  withWorker("asks", async (hub) => {
    hub.run(1, [5]);
    await hub.next(48);
    hub.control(18, 1, 1, "ran for 30 s");
    assert.match((await hub.next(3))[2], /waits for other\.one/);
    assert.deepEqual([(await hub.raised()).type], ["msx.Cancelled"]);
    hub.control(18, 2, 1, "ran for 30 s");
    assert.deepEqual(await hub.next(3), [2, 1, ""]);
    hub.run(2, [5]);
    assert.equal((await hub.raised()).message, "ran for 30 s");
  }));

test("a worker ends when the hub is gone, and when the hub is none", async () => {
  const gone = await Hub.start("services.calls.plain");
  gone.child.stdio[3].destroy();
  assert.deepEqual(await gone.ended, { code: 0, signal: null });
  const strange = await Hub.start("services.calls.plain");
  strange.lane(77);
  assert.deepEqual(await strange.ended, { code: 1, signal: null });
  assert.match(strange.stderr, /msx: lane: a message with the unexpected tag 77/);
});

test("a name that the module does not export", async () => {
  const hub = new Hub("services.calls.nothing", "calls.mjs");
  assert.deepEqual(await hub.ended, { code: 1, signal: null });
  assert.match(hub.stderr, /exports no microservice of the name nothing/);
});
