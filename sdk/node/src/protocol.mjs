// The messages of the worker protocol and their framing (docs/protocol.md, version 1).

import { Malformed, Reader, Writer } from "./msgpack.mjs";

export const VERSION = 1;
const MESSAGE_BYTES_MAX = 384 * 1024 * 1024;

export const PING = 17;
export const INTERRUPT = 18;
export const DRAIN = 19;
export const ASKBACK = 20;
export const ASKSTACKS = 22;
export const RUN = 32;
export const RESUME = 33;
export const EVICT = 34;

export const WAIT_ALL = 0;
export const WAIT_ANY = 1;

/** The peer does not speak this protocol; the channel is of no further use. */
export class ProtocolError extends Error {}

/** What the hub sends, by tag: a name for each of the fields that this SDK reads. */
const RECEIVED = {
  [PING]: ["nonce"],
  [INTERRUPT]: ["call", "attempt", "reason"],
  [DRAIN]: [],
  [ASKBACK]: ["lane"],
  [ASKSTACKS]: ["nonce"],
  [RUN]: ["call", "attempt", "payload", "via", "results", "limit", "id", "remaining"],
  [RESUME]: ["call", "attempt", "results"],
  [EVICT]: ["call", "attempt"],
};

/** What a worker sends: each function makes a frame of its fields. */
export const frames = {
  hello: (fields) => frame(1, fields),
  pong: (nonce) => frame(2, [nonce]),
  stack: (call, attempt, text) => frame(3, [call, attempt, text]),
  stacks: (nonce, stacks) => frame(4, [nonce, stacks]),
  calls: (call, attempt, entries, wait) => frame(48, [call, attempt, entries, wait]),
  returned: (call, attempt, payload, micros = 0) => frame(49, [call, attempt, payload, micros]),
  raised: (call, attempt, payload) => frame(50, [call, attempt, payload]),
  evicted: (call, attempt) => frame(51, [call, attempt]),
  memo: (call, attempt, fields) => frame(52, [call, attempt, ...fields]),
  summary: (call, attempt, text) => frame(54, [call, attempt, text]),
};

function frame(tag, fields) {
  const out = new Writer();
  out.reserve(4);
  out.byte(tag);
  write(out, fields);
  const bytes = out.finish();
  bytes.writeUInt32LE(bytes.length - 4, 0);
  return bytes;
}

/** Fields are numbers, texts, bytes, null, and arrays and options of these. */
function write(out, field) {
  if (field === null || field === undefined) out.nil();
  else if (typeof field === "string") out.string(field);
  else if (typeof field === "boolean") out.boolean(field);
  else if (field instanceof Uint8Array) out.binary(field);
  else if (Array.isArray(field)) {
    out.arrayHead(field.length);
    field.forEach((part) => write(out, part));
  } else if (typeof field === "object") {
    const entries = Object.entries(field);
    out.mapHead(entries.length);
    entries.flat().forEach((part) => write(out, part));
  } else out.integer(field);
}

/** A message by its fields' names, with its `tag`. */
export function decodeMessage(tag, body) {
  const names = RECEIVED[tag];
  if (names === undefined) throw new ProtocolError(`a message with the unexpected tag ${tag}`);
  const fields = readFields(tag, body);
  const message = { tag };
  names.forEach((name, n) => (message[name] = fields[n]));
  return message;
}

function readFields(tag, body) {
  const noExtension = () => {
    throw new Malformed("an extension outside of a payload");
  };
  try {
    const fields = new Reader(body, noExtension).whole();
    if (Array.isArray(fields)) return fields;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new ProtocolError(`a malformed message with tag ${tag}: ${error.message}`);
  }
  throw new ProtocolError(`a message with tag ${tag} that is no array`);
}

/** Cuts a stream into messages. */
export class Splitter {
  #chunks = [];
  #held = 0;

  /** Takes what was read, and calls `take(tag, body)` for each message that is complete now. */
  push(chunk, take) {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    let buffer = this.#whole();
    let at = 0;
    while (buffer !== undefined && buffer.length - at >= 5) {
      const length = lengthAt(buffer, at);
      if (buffer.length - at < 4 + length) break;
      take(buffer[at + 4], buffer.subarray(at + 5, at + 4 + length));
      at += 4 + length;
    }
    if (buffer !== undefined) this.#keep(buffer.subarray(at));
  }

  /** All that is held in one piece, if there may be a message in it: a large one comes in many pieces. */
  #whole() {
    const [first] = this.#chunks;
    if (this.#chunks.length > 1 && first.length >= 4 && this.#held < 4 + lengthAt(first, 0)) return undefined;
    return this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
  }

  #keep(rest) {
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#held = rest.length;
  }
}

function lengthAt(buffer, at) {
  const length = buffer.readUInt32LE(at);
  if (length >= 1 && length <= MESSAGE_BYTES_MAX) return length;
  throw new ProtocolError(`a message of ${length} bytes; 1 to ${MESSAGE_BYTES_MAX} are allowed`);
}
