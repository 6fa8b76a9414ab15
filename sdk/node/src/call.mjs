// One attempt of one call: what it has asked for, and what is already known.
//
// A call numbers its children and memos from 0 in order of creation. When it is run again, the results of the earlier
// attempt are there from the start. The program must ask for the same things in the same order; for that, results are
// handed over one at a time, in the order in which the hub recorded them, and the next one only when all that the last
// one has woken has run (`flush` is a turn of the event loop of its own).
//
// An attempt that is evicted is abandoned: its promises are never settled, so that its code never goes on. Nobody holds
// them any more, and they are collected together with the frames that wait for them.

import { CannotTravel, crc32, decode, encode, encodeArguments } from "./codec.mjs";
import { storage } from "./context.mjs";
import { LimitExceeded, NonDeterminismError, UsageError } from "./errors.mjs";
import { WAIT_ALL, WAIT_ANY, frames } from "./protocol.mjs";
import { cancelled, decodeError, encodeError, ownStack } from "./remote.mjs";

export const MEMO = "msx.run";

/** The promise of a result: it tells its call when somebody waits for it. */
export class Pending extends Promise {
  /** What `then` returns is a plain promise. */
  static get [Symbol.species]() {
    return Promise;
  }

  future = undefined;

  then(fulfilled, rejected) {
    this.future?.awaited();
    return super.then(fulfilled, rejected);
  }
}

/** All results, in the order of the calls. Unlike with `Promise.all`, the caller waits once, however many there are. */
export function gather(promises) {
  const [all, group] = [[...promises], {}];
  for (const one of all) if (one instanceof Pending) one.future.group = group;
  return Promise.all(all);
}

/** A promise that is never settled. */
const never = () => new Promise(() => {});

export class Call {
  #engine;
  #service;
  #run;
  #deadline;
  #abort = new AbortController();
  #recorded; // by seq, what an earlier attempt asked for
  #inbox = new Map(); // results that are known and were not handed over, in the order in which they became known
  #known; // results that this attempt was told, or made itself
  #nextSeq = 0;
  #futures = new Map(); // by seq, what was asked for and is not settled
  #entries = []; // not sent yet
  #asked = null; // what the hub knows that it waits for
  #memos = 0; // in the making
  #isDirty = false;
  #isSuspended = false;
  #hasEnded = false;
  #failure = null;

  constructor(run, service, engine) {
    this.#run = run;
    this.#service = service;
    this.#engine = engine;
    this.#recorded = new Map(run.results.map(([seq, name, ident]) => [seq, { service: name, ident }]));
    for (const [seq, , , ok, payload] of run.results) this.#inbox.set(seq, { ok, payload });
    this.#known = run.results.length;
    this.#deadline = typeof run.remaining === "number" ? new Date(Date.now() + run.remaining) : null;
  }

  get key() {
    return `${this.#run.call}:${this.#run.attempt}`;
  }

  get isParked() {
    return this.#asked !== null;
  }

  info() {
    const { id, via, attempt } = this.#run;
    const signal = this.#abort.signal;
    return { id, service: this.#service, via, attempt, isReplay: attempt > 1, deadline: this.#deadline, signal };
  }

  // --- for the code of the call ---

  /** The next child call; `name` tells of which service. */
  ask(name, args, kwargs, options, inMemo) {
    if (this.#isSuspended) return never();
    try {
      const service = name();
      this.#refuse(service, inMemo);
      const { payload, ident } = this.#arguments(service, args, kwargs);
      const seq = this.#claim(service, ident);
      if (!this.#inbox.has(seq)) this.#entries.push([seq, service, ident, payload, options]);
      return this.#future(seq, service);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async memo(fn, args, inMemo) {
    if (this.#isSuspended) return never();
    this.#refuse(MEMO, inMemo);
    const ident = crc32(Buffer.from(fn.name ?? ""));
    const seq = this.#claim(MEMO, ident);
    const future = this.#future(seq, MEMO);
    if (!this.#inbox.has(seq)) void this.#make(seq, ident, fn, args);
    return future;
  }

  summarise(text) {
    if (!this.#isSuspended && !this.#hasEnded) this.#send(frames.summary(this.#run.call, this.#run.attempt, text.toWellFormed()));
  }

  #refuse(service, inMemo) {
    if (this.#failure !== null) throw this.#failure;
    if (this.#hasEnded) {
      throw new UsageError(`${service} was called by code whose call has ended; await it before returning`);
    }
    if (inMemo) throw new UsageError(`${service} was called inside of run(…): call it before, and pass its result on`);
  }

  #arguments(service, args, kwargs) {
    try {
      const encoded = encodeArguments(args, kwargs);
      this.#weigh(`${service}: its arguments take`, encoded.payload);
      return encoded;
    } catch (error) {
      throw error instanceof CannotTravel ? new TypeError(`${service}: its arguments: ${error.message}`) : error;
    }
  }

  #weigh(what, payload) {
    if (payload.length <= this.#run.limit) return;
    const advice = "pass a path or a key instead of the data, or send it in parts";
    throw new LimitExceeded(`${what} ${payload.length} bytes; the limit is ${this.#run.limit} for one message: ${advice}`);
  }

  /** The number of what is asked for next, which must be what an earlier attempt asked for here. */
  #claim(service, ident) {
    const seq = this.#nextSeq++;
    const known = this.#recorded.get(seq);
    this.#recorded.delete(seq);
    if (known === undefined || (known.ident === ident && means(service, known.service))) return seq;
    this.#failure = new NonDeterminismError(
      `${this.#service} was run again and did something else: its call number ${seq} was ` +
        `${described(known.service, known.ident)}, and is now ${described(service, ident)} at ${callerLine()}; ` +
        "what comes from random, time, I/O and the like belongs into run(…)",
    );
    throw this.#failure;
  }

  #future(seq, service) {
    const future = { service, at: new Error(), isAwaited: false, group: null };
    future.awaited = () => {
      if (future.isAwaited) return;
      future.isAwaited = true;
      this.#touch();
    };
    const promise = new Pending((resolve, reject) => Object.assign(future, { resolve, reject }));
    promise.future = future;
    this.#futures.set(seq, future);
    this.#touch();
    return promise;
  }

  async #make(seq, ident, fn, args) {
    this.#memos++;
    let outcome;
    try {
      const value = await storage.run({ call: this, inMemo: true }, () => fn(...args));
      outcome = { ok: true, payload: this.#result(MEMO, value) };
    } catch (error) {
      outcome = { ok: false, payload: encodeError(error, this.#service, this.#run.limit) };
    }
    this.#memos--;
    this.#record(seq, ident, outcome);
  }

  /** Also when the call was evicted meanwhile: what was done must not be done again. */
  #record(seq, ident, { ok, payload }) {
    if (this.#hasEnded) return;
    if (!this.#isSuspended) this.#emit(null);
    this.#send(frames.memo(this.#run.call, this.#run.attempt, [seq, ident, ok, payload, this.#known]));
    this.#known++;
    this.#inbox.set(seq, { ok, payload });
    if (this.#isSuspended) this.#leave();
    else this.#touch();
  }

  #result(service, value) {
    try {
      const payload = encode(value);
      this.#weigh(`${service}: its result takes`, payload);
      return payload;
    } catch (error) {
      throw error instanceof CannotTravel ? new TypeError(`${service}: its result: ${error.message}`) : error;
    }
  }

  // --- for the engine ---

  resume(results) {
    this.#asked = null;
    for (const [seq, ok, payload] of results) this.#inbox.set(seq, { ok, payload });
    this.#known += results.length;
    this.#touch();
  }

  /** Gives the attempt up. What must not be done twice is waited for. */
  evict() {
    this.#isSuspended = true;
    this.#futures.clear();
    this.#leave();
  }

  #leave() {
    if (this.#memos === 0) this.#end(frames.evicted(this.#run.call, this.#run.attempt));
  }

  /** Its code is to stop: what waits for calls is rejected; whoever waits for something else looks at the signal. */
  interrupt(reason) {
    if (this.#isSuspended || this.#hasEnded) return;
    const error = cancelled(reason);
    this.#abort.abort(error);
    for (const future of this.#futures.values()) if (future.isAwaited) future.reject(error);
    this.#futures.clear();
  }

  returned(value) {
    try {
      this.#answer((call, attempt) => frames.returned(call, attempt, this.#result(this.#service, value)));
    } catch (error) {
      this.threw(error);
    }
  }

  threw(error) {
    this.#answer((call, attempt) => frames.raised(call, attempt, encodeError(error, this.#service, this.#run.limit)));
  }

  /** An attempt has one answer, whatever its code does after it. */
  #answer(frame) {
    if (this.#isSuspended || this.#hasEnded) return;
    const { call, attempt, limit } = this.#run;
    const message =
      this.#failure === null ? frame(call, attempt) : frames.raised(call, attempt, encodeError(this.#failure, this.#service, limit));
    this.#emit(null);
    this.#end(message);
  }

  #end(message) {
    this.#hasEnded = true;
    this.#futures.clear();
    this.#send(message);
    this.#engine.forget(this);
  }

  /** Once per turn in which the call did something: one more result, or the call parks. */
  flush() {
    this.#isDirty = false;
    if (this.#isSuspended || this.#hasEnded) return;
    if (this.#deliver()) {
      this.#emit(null);
      this.#touch();
    } else {
      this.#emit(this.#wanted());
    }
  }

  /** Hands over the first result that somebody waits for. */
  #deliver() {
    for (const [seq, outcome] of this.#inbox) {
      const future = this.#futures.get(seq);
      if (future === undefined || !future.isAwaited) continue;
      this.#inbox.delete(seq);
      this.#futures.delete(seq);
      settle(future, outcome);
      return true;
    }
    return false;
  }

  /** What it waits for; null as long as it is doing something itself. */
  #wanted() {
    if (this.#memos > 0) return null;
    const awaited = [...this.#futures].filter(([, future]) => future.isAwaited);
    if (awaited.length === 0) return null;
    const groups = new Set(awaited.map(([, future]) => future.group ?? future));
    return [groups.size === 1 ? WAIT_ALL : WAIT_ANY, awaited.map(([seq]) => seq)];
  }

  #emit(wait) {
    const asked = wait === null ? this.#asked : wait.flat().join();
    if (this.#entries.length === 0 && asked === this.#asked) return;
    const entries = this.#entries;
    [this.#entries, this.#asked] = [[], asked];
    this.#send(frames.calls(this.#run.call, this.#run.attempt, entries, wait));
  }

  #send(frame) {
    this.#engine.send(frame);
  }

  #touch() {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#engine.flushLater(this);
  }

  /** Where it waits, for `msx stack`. */
  stacks() {
    const { call, attempt } = this.#run;
    const state = this.isParked ? "parked" : "running";
    const waiting = [...this.#futures.values()].filter((future) => future.isAwaited);
    const text = waiting.map((future) => `waits for ${future.service}\n${placeOf(future.at)}\n`).join("");
    return ["call", call, attempt, state, text];
  }
}

function settle(future, { ok, payload }) {
  try {
    if (ok) future.resolve(decode(payload));
    else future.reject(decodeError(payload, future.at));
  } catch (error) {
    future.reject(error);
  }
}

/** A stub may ask by the short name; what is recorded has the canonical one. */
function means(asked, canonical) {
  return asked === canonical || (!asked.includes(".") && canonical.split(".").at(-1) === asked);
}

function described(service, ident) {
  return `${service} (arguments ${ident.toString(16).padStart(8, "0")})`;
}

/** The user's lines of a stack. */
function placeOf(at) {
  return ownStack(at).split("\n").filter((line) => /^\s+at /.test(line)).join("\n");
}

function callerLine() {
  return placeOf(new Error()).split("\n")[0].trim().replace(/^at /, "") || "?";
}
