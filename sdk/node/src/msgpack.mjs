// MessagePack, as much of it as the protocol has. A codec of our own: what a library would have to be bent for is most
// of the format here, namely extensions that hold MessagePack, whole numbers beyond 2^53 as bigint, maps with keys of
// any type, and encodings that are the same bytes in every language (docs/protocol.md, Values).

const START_BYTES = 512;

/** Writes into a buffer that grows. */
export class Writer {
  constructor() {
    this.buffer = Buffer.allocUnsafe(START_BYTES);
    this.length = 0;
  }

  /** What was written; the writer is not to be used any more. */
  finish() {
    return this.buffer.subarray(0, this.length);
  }

  /** Makes room and returns where it begins. */
  reserve(bytes) {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.length, this.buffer.length * 2));
      this.buffer.copy(larger, 0, 0, at);
      this.buffer = larger;
    }
    return at;
  }

  byte(value) {
    const at = this.reserve(1);
    this.buffer[at] = value;
  }

  raw(bytes) {
    const at = this.reserve(bytes.length);
    this.buffer.set(bytes, at);
  }

  nil() {
    this.byte(0xc0);
  }

  boolean(value) {
    this.byte(value ? 0xc3 : 0xc2);
  }

  float(value) {
    const at = this.reserve(9);
    this.buffer[at] = 0xcb;
    this.buffer.writeDoubleBE(value, at + 1);
  }

  /** A whole number or bigint from -2^63 to 2^64 - 1, in as few bytes as it takes. */
  integer(value) {
    if (value >= 0 && value < 128) return this.byte(Number(value));
    if (value < 0 && value >= -32) return this.byte(Number(value) & 0xff);
    return value >= 0 ? this.#positive(value) : this.#negative(value);
  }

  #positive(value) {
    if (value <= 0xffffffff) return this.#sized(Number(value), 0xcc, 0xcd, 0xce);
    const at = this.reserve(9);
    this.buffer[at] = 0xcf;
    this.buffer.writeBigUInt64BE(BigInt(value), at + 1);
  }

  #negative(value) {
    if (value < -0x80000000) {
      const at = this.reserve(9);
      this.buffer[at] = 0xd3;
      this.buffer.writeBigInt64BE(BigInt(value), at + 1);
      return;
    }
    const small = Number(value);
    const bytes = small >= -0x80 ? 1 : small >= -0x8000 ? 2 : 4;
    const at = this.reserve(1 + bytes);
    this.buffer[at] = bytes === 1 ? 0xd0 : bytes === 2 ? 0xd1 : 0xd2;
    this.buffer.writeIntBE(small, at + 1, bytes);
  }

  /** A tag by the size of the number, and the number. */
  #sized(value, one, two, four) {
    const bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : 4;
    const at = this.reserve(1 + bytes);
    this.buffer[at] = bytes === 1 ? one : bytes === 2 ? two : four;
    this.buffer.writeUIntBE(value, at + 1, bytes);
  }

  string(text) {
    const bytes = Buffer.byteLength(text);
    if (bytes < 32) this.byte(0xa0 | bytes);
    else this.#sized(bytes, 0xd9, 0xda, 0xdb);
    const at = this.reserve(bytes);
    this.buffer.write(text, at, bytes, "utf8");
  }

  binary(bytes) {
    this.#sized(bytes.length, 0xc4, 0xc5, 0xc6);
    this.raw(bytes);
  }

  arrayHead(length) {
    this.#head(length, 0x90, 0xdc);
  }

  mapHead(length) {
    this.#head(length, 0x80, 0xde);
  }

  #head(length, short, wide) {
    if (length < 16) return this.byte(short | length);
    const bytes = length <= 0xffff ? 2 : 4;
    const at = this.reserve(1 + bytes);
    this.buffer[at] = bytes === 2 ? wide : wide + 1;
    this.buffer.writeUIntBE(length, at + 1, bytes);
  }

  extension(code, content) {
    const fixed = [1, 2, 4, 8, 16].indexOf(content.length);
    if (fixed >= 0) this.byte(0xd4 + fixed);
    else this.#sized(content.length, 0xc7, 0xc8, 0xc9);
    this.byte(code);
    this.raw(content);
  }
}

/** Thrown for bytes that are no MessagePack. */
export class Malformed extends Error {}

/** Reads values out of bytes. `build` makes the value of an extension of its code and content. */
export class Reader {
  constructor(buffer, build) {
    this.buffer = buffer;
    this.at = 0;
    this.build = build;
  }

  /** The one value that the bytes are. */
  whole() {
    const value = this.value(0);
    if (this.at !== this.buffer.length) throw new Malformed(`${this.buffer.length - this.at} bytes too many`);
    return value;
  }

  #take(bytes) {
    const from = this.at;
    if (from + bytes > this.buffer.length) throw new Malformed("the bytes end too early");
    this.at += bytes;
    return from;
  }

  #uint(bytes) {
    return this.buffer.readUIntBE(this.#take(bytes), bytes);
  }

  #bytes(length) {
    const from = this.#take(length);
    return this.buffer.subarray(from, from + length);
  }

  #text(length) {
    const from = this.#take(length);
    return this.buffer.toString("utf8", from, from + length);
  }

  value(depth) {
    if (depth > DEPTH_MAX) throw new Malformed(`nested deeper than ${DEPTH_MAX} levels`);
    const head = this.#uint(1);
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.#map(head & 0x0f, depth);
    if (head < 0xa0) return this.#array(head & 0x0f, depth);
    if (head < 0xc0) return this.#text(head & 0x1f);
    if (head >= 0xd4 && head <= 0xd8) return this.#extension(1 << (head - 0xd4));
    return this.#long(head, depth);
  }

  #long(head, depth) {
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: case 0xc5: case 0xc6: return new Uint8Array(this.#bytes(this.#uint(1 << (head - 0xc4))));
      case 0xc7: case 0xc8: case 0xc9: return this.#extension(this.#uint(1 << (head - 0xc7)));
      case 0xca: return this.buffer.readFloatBE(this.#take(4));
      case 0xcb: return this.buffer.readDoubleBE(this.#take(8));
      case 0xcc: case 0xcd: case 0xce: return this.#uint(1 << (head - 0xcc));
      case 0xcf: return narrow(this.buffer.readBigUInt64BE(this.#take(8)));
      case 0xd0: return this.buffer.readInt8(this.#take(1));
      case 0xd1: return this.buffer.readInt16BE(this.#take(2));
      case 0xd2: return this.buffer.readInt32BE(this.#take(4));
      case 0xd3: return narrow(this.buffer.readBigInt64BE(this.#take(8)));
      case 0xd9: case 0xda: case 0xdb: return this.#text(this.#uint(1 << (head - 0xd9)));
      case 0xdc: case 0xdd: return this.#array(this.#uint(2 << (head - 0xdc)), depth);
      case 0xde: case 0xdf: return this.#map(this.#uint(2 << (head - 0xde)), depth);
      default: throw new Malformed(`no value begins with 0x${head.toString(16)}`);
    }
  }

  #array(length, depth) {
    const items = [];
    for (let n = 0; n < length; n++) items.push(this.value(depth + 1));
    return items;
  }

  /** An object if all keys are text, else a Map. */
  #map(length, depth) {
    const entries = [];
    for (let n = 0; n < length; n++) entries.push([this.value(depth + 1), this.value(depth + 1)]);
    if (!entries.every(([key]) => typeof key === "string")) return new Map(entries);
    return Object.fromEntries(entries);
  }

  #extension(length) {
    const code = this.buffer.readInt8(this.#take(1));
    return this.build(code, this.#bytes(length));
  }
}

/** Of values, and of what is read: deeper ones would need too much of the stack. */
export const DEPTH_MAX = 500;

function narrow(big) {
  return big >= Number.MIN_SAFE_INTEGER && big <= Number.MAX_SAFE_INTEGER ? Number(big) : big;
}
