import fs from "node:fs";
import { context, gather, kwargs, microservice, run, service, summary } from "msx";

const [double, pyFib, gate] = ["double", "py_fib", "gate"].map(service);

function mark(name) {
  fs.mkdirSync("marks", { recursive: true });
  fs.appendFileSync(`marks/${name}`, ".");
}

export const add = microservice((x, y = 1) => x + y);
export const echo = microservice((value) => value);
export const pid = microservice(() => process.pid);

export const js_fib = microservice(async (n) => {
  if (n < 2) return n;
  const [first, second] = await Promise.all([pyFib(n - 1), pyFib(n - 2)]);
  return first + second;
});

/** Its lines run once for each attempt that comes so far. */
export const loops = microservice(async (times) => {
  mark("loops.begun");
  let sum = 0;
  for (let n = 0; n < times; n++) sum += await double(n);
  mark("loops.ended");
  return sum;
});

export const fans = microservice(async (width) => {
  const results = await Promise.all(Array.from({ length: width }, (_, n) => double(n)));
  return results.reduce((sum, one) => sum + one, 0);
});

export const gathers = microservice(async (width) => {
  const results = await gather(Array.from({ length: width }, (_, n) => double(n)));
  return results.length;
});

/** Calls that are started early and waited for late, and branches that go on at different times. */
export const branches = microservice(async () => {
  const late = double(100);
  const branch = async (n) => {
    const first = await double(n);
    return add(first, await double(first));
  };
  const sums = await Promise.all([branch(1), branch(2), branch(3)]);
  return [...sums, await late];
});

export const races = microservice(async (file) => {
  const winner = await Promise.race([gate(file), double(21)]);
  return [winner, await double(winner)];
});

export const memos = microservice(async () => {
  const make = async () => {
    mark("memos.made");
    return Math.random();
  };
  const [before, doubled] = await Promise.all([run(make), double(4)]);
  const failed = await run(function fails() {
    mark("memos.failed");
    throw new RangeError("too far");
  }).catch((error) => `${error.name}: ${error.message}`);
  await double(1);
  return { isNumber: before >= 0 && before < 1, doubled, failed };
});

export const named = microservice(async () => add(kwargs({ y: 5, x: 2 })));

export const described = microservice(async () => {
  summary("order 17");
  const { service: own, via, attempt, isReplay, id } = context();
  return { own, via, fits: isReplay === attempt > 1, id: typeof id };
});

let made = 0;
export const differs = microservice(async () => {
  await double(made++);
  return made;
});

export const waits = microservice(async (file) => [await gate(file), process.pid]);
