// A hub of one worker: the tests say what it sends, and look at what comes back.

import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { decode, encode } from "../src/codec.mjs";
import { Reader, Writer } from "../src/msgpack.mjs";
import { Splitter } from "../src/protocol.mjs";

const SDK = new URL("../src/", import.meta.url);
const SERVICES = new URL("services/", import.meta.url);
const BOUND_MS = 30_000;

export class Hub {
  static async start(name, file = "calls.mjs") {
    const hub = new Hub(name, file);
    hub.hello = await hub.next(1);
    return hub;
  }

  #messages = [];
  #waiting = [];

  constructor(name, file) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), "msx-node-"));
    const tally = fs.openSync(path.join(this.folder, "tally"), "w+");
    fs.writeSync(tally, Buffer.alloc(8, 0xff));
    this.child = spawn(
      process.execPath,
      ["--expose-gc", fileURLToPath(new URL("worker.mjs", SDK)), name, fileURLToPath(new URL(file, SERVICES))],
      {
        stdio: ["ignore", "pipe", "pipe", "pipe", "pipe", tally],
        env: { ...process.env, MSX_FD: "3", MSX_LANE_FD: "4", MSX_TALLY_FD: "5", MSX_PROJECT: fileURLToPath(new URL(".", import.meta.url)) },
      },
    );
    fs.closeSync(tally);
    [this.stdout, this.stderr] = ["", ""];
    this.child.stdout.on("data", (text) => (this.stdout += text));
    this.child.stderr.on("data", (text) => (this.stderr += text));
    this.ended = new Promise((resolve) => this.child.on("close", (code, signal) => resolve({ code, signal })));
    void this.ended.then(() => fs.rmSync(this.folder, { recursive: true }));
    for (const channel of [3, 4]) this.#listen(this.child.stdio[channel]);
  }

  #listen(socket) {
    const splitter = new Splitter();
    socket.on("error", () => {});
    socket.on("data", (chunk) => splitter.push(chunk, (tag, body) => this.#take({ tag, fields: fieldsOf(body) })));
  }

  #take(message) {
    const waiting = this.#waiting.findIndex(({ tag }) => tag === message.tag);
    if (waiting < 0) this.#messages.push(message);
    else this.#waiting.splice(waiting, 1)[0].resolve(message.fields);
  }

  /** The fields of the next message with this tag. */
  next(tag) {
    const known = this.#messages.findIndex((message) => message.tag === tag);
    if (known >= 0) return Promise.resolve(this.#messages.splice(known, 1)[0].fields);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no message ${tag}: ${this.stderr}`)), BOUND_MS);
      this.#waiting.push({ tag, resolve: (fields) => (clearTimeout(timer), resolve(fields)) });
    });
  }

  /** What came and was not asked for. */
  get unread() {
    return this.#messages.map(({ tag }) => tag);
  }

  control(tag, ...fields) {
    this.child.stdio[3].write(frame(tag, fields));
  }

  lane(tag, ...fields) {
    this.child.stdio[4].write(frame(tag, fields));
  }

  run(call, args, { attempt = 1, results = [], remaining = null, kwargs = {} } = {}) {
    this.lane(32, call, attempt, encode([args, kwargs]), null, results, 32 << 20, `call${call}`, remaining);
  }

  resume(call, results, attempt = 1) {
    this.lane(33, call, attempt, results.map(([seq, value]) => [seq, true, encode(value)]));
  }

  evict(call, attempt = 1) {
    this.lane(34, call, attempt);
  }

  async returned() {
    const [call, attempt, payload] = await this.next(49);
    return { call, attempt, value: decode(payload) };
  }

  async raised() {
    const [, , payload] = await this.next(50);
    return decode(payload);
  }

  get begun() {
    return Number(fs.readFileSync(path.join(this.folder, "tally")).readBigUInt64LE(0));
  }

  async stop() {
    this.control(19);
    return this.ended;
  }
}

function fieldsOf(body) {
  return new Reader(body, () => null).whole();
}

function frame(tag, fields) {
  const body = encode(fields);
  const out = new Writer();
  out.reserve(4);
  out.byte(tag);
  out.raw(body);
  const bytes = out.finish();
  bytes.writeUInt32LE(bytes.length - 4, 0);
  return bytes;
}
