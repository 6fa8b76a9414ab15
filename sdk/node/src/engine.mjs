// Runs the calls of a worker: one lane and one event loop for all of them. Once per turn, each call that did something
// tells so in one message, and all messages go out in one write.

import fs from "node:fs";
import { decode } from "./codec.mjs";
import { Call } from "./call.mjs";
import { storage } from "./context.mjs";
import { EVICT, RESUME, RUN, Splitter, decodeMessage } from "./protocol.mjs";
import { cancelled } from "./remote.mjs";
import { bind, parametersOf } from "./signature.mjs";

/** An interrupt may come before its call; later ones push the oldest out. */
const KEPT_MAX = 1000;
/** How long code may take to end by itself when it is interrupted; the hub waits for 1 s. */
const INTERRUPT_MS = 500;

export class Engine {
  #service;
  #parameters;
  #lane;
  #tally;
  #begun = 0n;
  #calls = new Map();
  #interrupts = new Map();
  #dirty = [];
  #out = [];
  #isFlushing = false;

  /** `service` is `{ name, fn }`; `tally` the descriptor of the file that outlives this process. */
  constructor(service, lane, tally) {
    this.#service = service;
    this.#parameters = parametersOf(service.fn);
    this.#lane = lane;
    this.#tally = tally;
    fs.writeSync(tally, Buffer.alloc(8), 0, 8, 0);
  }

  /** Serves the lane; `die` is told when the hub does not speak the protocol. */
  start(die) {
    const splitter = new Splitter();
    this.#lane.on("data", (chunk) => {
      try {
        splitter.push(chunk, (tag, body) => this.#take(decodeMessage(tag, body)));
      } catch (error) {
        die(`lane: ${error.message}`);
      }
    });
  }

  #take(message) {
    const key = `${message.call}:${message.attempt}`;
    if (message.tag === EVICT) return this.#calls.get(key)?.evict();
    this.#count();
    if (message.tag === RESUME) this.#calls.get(key)?.resume(message.results);
    else if (message.tag === RUN) this.#start(message);
  }

  /** The hub learns from this, if the process is killed, what had not begun. */
  #count() {
    const number = Buffer.allocUnsafe(8);
    number.writeBigUInt64LE(++this.#begun);
    fs.writeSync(this.#tally, number, 0, 8, 0);
  }

  #start(run) {
    const call = new Call(run, this.#service.name, this);
    this.#calls.set(call.key, call);
    const reason = this.#interrupts.get(call.key);
    this.#interrupts.delete(call.key);
    if (reason !== undefined) return call.threw(cancelled(reason));
    storage.run({ call, inMemo: false }, () => this.#serve(call, run.payload));
  }

  async #serve(call, payload) {
    try {
      const [args, kwargs] = decode(payload);
      const { name, fn } = this.#service;
      call.returned(await fn(...bind(name.split(".").at(-1), this.#parameters, args, kwargs)));
    } catch (error) {
      call.threw(error);
    }
  }

  // --- for the control channel ---

  stackOf({ call, attempt }) {
    return this.#calls.get(`${call}:${attempt}`)?.stacks()[4] ?? "";
  }

  stacks() {
    return [...this.#calls.values()].map((call) => call.stacks());
  }

  interrupt({ call: id, attempt, reason }) {
    const call = this.#calls.get(`${id}:${attempt}`);
    if (call === undefined) return this.#keep(`${id}:${attempt}`, reason);
    call.interrupt(reason);
    // Code that does not look at the signal is left alone: nothing that it does later counts.
    setTimeout(() => call.threw(cancelled(reason)), INTERRUPT_MS).unref();
  }

  #keep(key, reason) {
    this.#interrupts.set(key, reason);
    if (this.#interrupts.size > KEPT_MAX) this.#interrupts.delete(this.#interrupts.keys().next().value);
  }

  // --- for calls ---

  send(frame) {
    this.#out.push(frame);
    this.#flushSoon();
  }

  flushLater(call) {
    this.#dirty.push(call);
    this.#flushSoon();
  }

  forget(call) {
    this.#calls.delete(call.key);
  }

  #flushSoon() {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    // Behind all that the last results have woken: promises are settled before the loop turns.
    setImmediate(() => this.#flush());
  }

  #flush() {
    this.#isFlushing = false;
    const dirty = this.#dirty;
    this.#dirty = [];
    dirty.forEach((call) => call.flush());
    this.write();
  }

  /** What was gathered, in one write. */
  write() {
    if (this.#out.length === 0) return;
    this.#lane.write(this.#out.length === 1 ? this.#out[0] : Buffer.concat(this.#out));
    this.#out = [];
  }
}
