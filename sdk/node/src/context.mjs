// Which call the running code is part of.

import { AsyncLocalStorage } from "node:async_hooks";
import { UsageError } from "./errors.mjs";

/** Holds `{ call, inMemo }` in the code of a call and in all that it starts. */
export const storage = new AsyncLocalStorage();

/** Set once this process is a worker: then there are calls, and code outside of them cannot make any. */
export const mode = { isWorker: false };

/** What a call knows of itself. */
export function context() {
  const current = storage.getStore();
  if (current === undefined) throw new UsageError("context() is for the code of a call; there is none here");
  return current.call.info();
}

/** Says what the call is about, for `msx calls`. */
export function summary(text) {
  storage.getStore()?.call.summarise(String(text));
}

/** Runs a function once: what it returned or threw is what every attempt of the call gets. */
export async function run(fn, ...args) {
  const current = storage.getStore();
  return current === undefined ? fn(...args) : current.call.memo(fn, args, current.inMemo);
}

const hooks = { start: [], stop: [] };

/** Runs a function before the instance takes calls. */
export function onStart(fn) {
  hooks.start.push(fn);
}

/** Runs a function when the instance has ended its last call. */
export function onStop(fn) {
  hooks.stop.push(fn);
}

export async function runHooks(which) {
  for (const hook of hooks[which]) await hook();
}
