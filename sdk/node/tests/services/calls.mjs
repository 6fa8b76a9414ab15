// What the tests run as a worker; the hub is the test.

import { context, gather, microservice, onStop, run, service } from "msx";

const other = service("other.one");
/** What an attempt that was given up held. */
let abandoned = null;

async function isGone() {
  for (let n = 0; n < 50; n++) {
    await new Promise((resolve) => setTimeout(resolve, 10)); // what was looked at is kept until then
    globalThis.gc();
    if (abandoned.deref() === undefined) return true;
  }
  return false;
}

export const plain = microservice((x, y) => x + y);
export const asks = microservice(async (n) => {
  const first = await other(n);
  return [first, await other(first)];
});
export const both = microservice(async () => {
  const order = [];
  const note = async (name) => order.push(await other(name));
  await Promise.all([note("a"), note("b")]);
  return order;
});
export const gathers = microservice(() => gather([other("a"), 5, other("b")]));
export const memo = microservice(async () => [await run(function once() { return 7; }), await other(1)]);
export const nested = microservice(() => run(() => other(1)));
export const late = microservice(() => {
  void new Promise((resolve) => setTimeout(resolve, 5)).then(() => other(1));
  return 1;
});
export const told = microservice(async () => {
  const { id, via, attempt, isReplay, deadline, signal } = context();
  return { id, via, attempt, isReplay, deadline: deadline instanceof Date, aborted: signal.aborted };
});
/** Holds something large while it waits, and tells whether it is gone. */
export const holds = microservice(async (question) => {
  if (question === "gone?") return isGone();
  const large = { bytes: new Uint8Array(1_000_000) };
  abandoned = new WeakRef(large);
  await other(1);
  return large.bytes.length;
});
onStop(() => process.stdout.write("stopped\n"));
