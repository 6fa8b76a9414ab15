// Values on the wire: MessagePack with the extensions of docs/protocol.md, Values.

import { Malformed, Reader, Writer } from "./msgpack.mjs";
import { DateTime, Extension, FrozenSet, Tuple, isoText } from "./values.mjs";

const [TUPLE, SET, FROZENSET, INT, DATETIME] = [1, 2, 3, 4, 5];
const NAMES = [
  "", "tuple", "set", "frozenset", "int", "datetime", "date", "time", "timedelta", "Decimal", "UUID", "Enum",
  "dataclass", "NamedTuple", "complex", "bytearray", "Struct", "model", "ndarray", "numpy scalar", "DataFrame", "Series",
  "Index", "column", "Timestamp",
];
const DEPTH_MAX = 100;
const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 64n - 1n;

/** A value has no encoding; the message says why, and what to do. */
export class CannotTravel extends TypeError {}

/** The bytes of a value. */
export function encode(value) {
  const walk = new Walk(false);
  walk.value(value, 0);
  return walk.out.finish();
}

/** The payload of arguments, and their ident: the CRC-32 of the payload with dict entries in canonical order. */
export function encodeArguments(args, kwargs) {
  const walk = new Walk(false);
  walk.value([args, kwargs], 0);
  const payload = walk.out.finish();
  if (!walk.sawOrder) return { payload, ident: crc32(payload) };
  const canonical = new Walk(true);
  canonical.value([args, kwargs], 0);
  return { payload, ident: crc32(canonical.out.finish()) };
}

/** The value of a payload. */
export function decode(bytes) {
  return new Reader(asBuffer(bytes), build).whole();
}

/** One writing of a value; `canonical` sorts dict entries by their encoded key. */
class Walk {
  constructor(canonical) {
    this.out = new Writer();
    this.canonical = canonical;
    this.sawOrder = false; // a dict with several entries: their order shows in the bytes
  }

  value(value, depth) {
    switch (typeof value) {
      case "undefined": return this.out.nil();
      case "boolean": return this.out.boolean(value);
      case "number": return Number.isSafeInteger(value) && !Object.is(value, -0) ? this.out.integer(value) : this.out.float(value);
      case "bigint": return this.#bigint(value);
      case "string": return this.#string(value);
      case "object": return value === null ? this.out.nil() : this.#object(value, depth);
      default: throw new CannotTravel(`a ${typeof value} cannot travel; send plain data`);
    }
  }

  #bigint(value) {
    if (value >= INT_MIN && value <= INT_MAX) this.out.integer(value);
    else this.#nested(INT, (walk) => walk.out.string(String(value)));
  }

  #string(value) {
    if (!value.isWellFormed()) {
      throw new CannotTravel("a string with lone surrogates cannot travel; encode it to a Uint8Array");
    }
    this.out.string(value);
  }

  #object(value, depth) {
    if (depth >= DEPTH_MAX) {
      throw new CannotTravel(`it is nested deeper than ${DEPTH_MAX} levels, or contains itself`);
    }
    if (value instanceof Tuple) return this.#nested(TUPLE, (walk) => walk.#array(value, depth));
    if (Array.isArray(value)) return this.#array(value, depth);
    if (value instanceof Uint8Array) return this.out.binary(value);
    if (value instanceof Map) return this.#entries([...value], depth);
    if (value instanceof Set) return this.#set(value, depth);
    if (value instanceof Date) return this.#date(value);
    if (value instanceof Extension) return this.out.extension(value.code, value.bytes);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#plain(value, depth);
    const name = value.constructor?.name ?? "object";
    const advice = value instanceof Promise ? "await it first" : "send a plain object, `{ ...value }`";
    throw new CannotTravel(`a value of type ${name} cannot travel; ${advice}`);
  }

  #array(items, depth) {
    this.out.arrayHead(items.length);
    for (let n = 0; n < items.length; n++) this.value(items[n], depth + 1);
  }

  /** Like JSON, without the fields that are undefined. */
  #plain(value, depth) {
    this.#entries(Object.entries(value).filter(([, item]) => item !== undefined), depth);
  }

  #entries(entries, depth) {
    this.out.mapHead(entries.length);
    this.sawOrder ||= entries.length > 1;
    if (this.canonical && entries.length > 1) return this.#sorted(entries, depth);
    for (const [key, item] of entries) {
      this.value(key, depth + 1);
      this.value(item, depth + 1);
    }
  }

  #sorted(entries, depth) {
    const encoded = entries.map(([key, item]) => [this.#aside((walk) => walk.value(key, depth + 1)), item]);
    for (const [key, item] of encoded.sort(([a], [b]) => Buffer.compare(a, b))) {
      this.out.raw(key);
      this.value(item, depth + 1);
    }
  }

  #set(value, depth) {
    const members = [...value].map((member) => this.#aside((walk) => walk.value(member, depth + 1)));
    members.sort(Buffer.compare);
    this.#nested(value instanceof FrozenSet ? FROZENSET : SET, (walk) => {
      walk.out.arrayHead(members.length);
      members.forEach((member) => walk.out.raw(member));
    });
  }

  #date(value) {
    if (Number.isNaN(value.getTime())) throw new CannotTravel("an invalid Date cannot travel");
    this.#nested(DATETIME, (walk) => walk.out.string(value instanceof DateTime ? value.text : isoText(value)));
  }

  #nested(code, write) {
    this.out.extension(code, this.#aside(write));
  }

  #aside(write) {
    const walk = new Walk(this.canonical);
    write(walk);
    this.sawOrder ||= walk.sawOrder;
    return walk.out.finish();
  }
}

function build(code, content) {
  const read = () => new Reader(content, build).whole();
  switch (code) {
    case TUPLE: return Tuple.from(list(read()));
    case SET: return new Set(list(read()));
    case FROZENSET: return new FrozenSet(list(read()));
    case INT: return BigInt(read());
    case DATETIME: {
      const moment = new DateTime(read());
      return Number.isNaN(moment.getTime()) ? foreign(code, content, read) : moment;
    }
    default: return foreign(code, content, read);
  }
}

function list(value) {
  if (!Array.isArray(value)) throw new Malformed("an extension without its array");
  return value;
}

function foreign(code, content, read) {
  return new Extension(NAMES[code] ?? `extension ${code}`, read(), code, new Uint8Array(content));
}

export function asBuffer(bytes) {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let crc = n;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 as of zlib, which has it in newer versions of Node.js only. */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
