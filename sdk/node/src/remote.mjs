// Errors on the wire: an Error to an error map (docs/protocol.md, Errors) and back.

import { decode, encode } from "./codec.mjs";
import { Cancelled, Fatal, ORIGIN, OWN, RemoteError, UsageError } from "./errors.mjs";

const CAUSES_MAX = 16;
const ERRORS_MAX = 256;
const TEXT_MAX = 64 * 1024;
const TRACEBACK_MAX = 32 * 1024;
const RAISED = "\n\nRaised in the service ";
const HERE = new URL(".", import.meta.url).href;

// --- to the wire --------------------------------------------------------------------------------------------

/** The payload of an error; whatever makes it larger than `limit` is left out. */
export function encodeError(error, service, limit) {
  const content = new Describer(service).describe(error, 0);
  const payload = encode(content);
  if (payload.length <= limit) return payload;
  const short = { args: null, attributes: null, cause: null, context: null, notes: null, group: null };
  const message = content.message.slice(0, TEXT_MAX);
  return encode({ ...content, ...short, message, traceback: content.traceback.slice(-TEXT_MAX) });
}

/** Describes an error with all that belongs to it, each once: what is chained may form a ring. */
class Describer {
  #service;
  #seen = new Set();

  constructor(service) {
    this.#service = service;
  }

  describe(thrown, depth) {
    const error = thrown instanceof Error ? thrown : new Thrown(thrown);
    if (depth > CAUSES_MAX || this.#seen.size >= ERRORS_MAX || this.#seen.has(error)) return null;
    this.#seen.add(error);
    return error[ORIGIN] === undefined ? this.#own(error, depth) : this.#passing(error);
  }

  #own(error, depth) {
    const message = wellFormed(String(error.message));
    const cause = error.cause instanceof Error ? this.describe(error.cause, depth + 1) : null;
    const group = error instanceof AggregateError ? this.#members(error, depth) : null;
    return {
      type: typeName(error.constructor),
      message,
      args: payload([message]),
      attributes: payload(attributes(error)),
      mro: bases(error, group !== null),
      service: this.#service,
      via: [],
      traceback: shortened(wellFormed(fullTraceback(error))),
      cause,
      context: cause === null ? null : true,
      suppress_context: cause !== null,
      notes: null,
      group,
    };
  }

  #members(error, depth) {
    return error.errors.map((member) => this.describe(member, depth + 1)).filter((member) => member !== null);
  }

  /** What came from another service goes on as it came. */
  #passing(error) {
    const via = [...error.via, this.#service];
    const [here] = ownStack(error).split(RAISED);
    const passed = `${error.traceback.trimEnd()}\n\nIt passed through the service ${this.#service}:\n\n${here}`;
    return { ...error[ORIGIN], via, traceback: shortened(wellFormed(passed)) };
  }
}

/** What was thrown and is no Error. */
class Thrown extends Error {
  constructor(value) {
    super(String(value));
    this.stack = `Thrown: ${this.message}`;
  }
}

function typeName(kind) {
  const isOurs = kind === Fatal || kind === UsageError || [...OWN.values()].includes(kind);
  return `${isOurs ? "msx" : "js"}.${kind?.name || "Error"}`;
}

/** Its base classes; the last one is Python's, so that it can be caught there. */
function bases(error, isGroup) {
  const names = [];
  for (let kind = parent(error.constructor); kind && kind !== Function.prototype; kind = parent(kind)) {
    names.push(typeName(kind));
  }
  const groups = isGroup ? ["builtins.ExceptionGroup", "builtins.BaseExceptionGroup"] : [];
  return [...names, ...groups, "builtins.Exception"];
}

function parent(kind) {
  return typeof kind === "function" ? Object.getPrototypeOf(kind) : null;
}

/** The fields that an error has beside its message, as far as they can travel. */
function attributes(error) {
  const own = Object.entries(error).filter(([name]) => !["cause", "errors", "message", "stack", "name"].includes(name));
  return Object.fromEntries(own.filter(([, value]) => payload(value) !== null));
}

function payload(value) {
  try {
    return encode(value);
  } catch {
    return null;
  }
}

function wellFormed(text) {
  return text.toWellFormed();
}

/** As Node.js prints it, but its causes first, as Python does. */
function fullTraceback(error) {
  const texts = [ownStack(error)];
  const seen = new Set([error]);
  while (error.cause instanceof Error && !seen.has(error.cause) && seen.size <= CAUSES_MAX) {
    error = error.cause;
    seen.add(error);
    const joint = "The above exception was the direct cause of the following exception:";
    texts.unshift(error[ORIGIN] ? error.traceback.trimEnd() : ownStack(error), joint);
  }
  return texts.join("\n\n");
}

/** The stack of an error without the lines of this SDK and of Node.js. */
export function ownStack(error) {
  const stack = String(error.stack ?? error);
  return stack.split("\n").filter((line) => !isHidden(line)).join("\n");
}

function isHidden(line) {
  return /^\s+at /.test(line) && (line.includes(HERE) || line.includes("node:internal") || line.includes("(node:"));
}

/** Without its middle, if it is long. */
function shortened(text) {
  if (text.length <= TRACEBACK_MAX) return text;
  const part = TRACEBACK_MAX / 4;
  return `${text.slice(0, part * 3)}\n\n[…]\n\n${text.slice(-part)}`;
}

// --- from the wire ------------------------------------------------------------------------------------------

/** The error to throw at a call; never fails, whatever the payload lacks. `at` is an Error made at the call. */
export function decodeError(bytes, at) {
  try {
    const content = decode(bytes);
    return fromMap(isMap(content) ? content : {}, at);
  } catch (failure) {
    return new RemoteError(`the call failed with an error that cannot be read here: ${failure.message}`);
  }
}

function fromMap(content, at) {
  const { type = "?", message = "" } = content;
  const error = make(String(type), String(message), content);
  assign(error, read(content.attributes));
  const { service = "", via, traceback = "" } = content;
  Object.assign(error, { type, service, traceback, via: Array.isArray(via) ? via : [] });
  Object.defineProperty(error, ORIGIN, { value: content });
  const cause = isMap(content.cause) ? content.cause : content.suppress_context ? null : content.context;
  if (isMap(cause)) Object.defineProperty(error, "cause", { value: fromMap(cause), configurable: true, writable: true });
  setStack(error, at);
  return error;
}

function make(type, message, content) {
  const name = type.split(".").at(-1);
  const members = Array.isArray(content.group) ? content.group.filter(isMap).map((member) => fromMap(member)) : null;
  const kind = OWN.get(type) ?? RemoteError;
  const error = members === null ? new kind(message) : new AggregateError(members, message);
  Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
  return error;
}

function assign(error, attributes) {
  if (!isMap(attributes)) return;
  for (const [name, value] of Object.entries(attributes)) {
    if (!(name in error)) error[name] = value;
  }
}

function setStack(error, at) {
  const frames = at === undefined ? [] : ownStack(at).split("\n").filter((line) => /^\s+at /.test(line));
  const here = [`${error.name}: ${error.message}`, ...frames].join("\n");
  const remote = error.traceback ? `${RAISED}${error.service}:\n\n${error.traceback.trimEnd()}` : "";
  Object.defineProperty(error, "stack", { value: here + remote, configurable: true, writable: true });
}

function read(bytes) {
  try {
    return bytes instanceof Uint8Array ? decode(bytes) : undefined;
  } catch {
    return undefined;
  }
}

function isMap(value) {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

export function cancelled(reason) {
  return Object.assign(new Cancelled(reason), { type: "msx.Cancelled" });
}
