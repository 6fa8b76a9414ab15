// The values of Python that JavaScript has no type of its own for.

/** A tuple: an array that travels back as a tuple. */
export class Tuple extends Array {
  static get [Symbol.species]() {
    return Array;
  }
}

/** A frozenset: a Set that travels back as a frozenset. */
export class FrozenSet extends Set {}

/** A datetime: a Date that travels back with the microseconds and the offset that it came with. */
export class DateTime extends Date {
  #text;

  constructor(text) {
    super(Date.parse(text));
    this.#text = text;
  }

  /** As Python's `isoformat` wrote it; as the Date says if that was changed. */
  get text() {
    return Date.parse(this.#text) === this.getTime() ? this.#text : isoText(this);
  }
}

/** How a Date is written: what Python's `fromisoformat` reads, in UTC. */
export function isoText(date) {
  return date.toISOString().replace("Z", "000+00:00");
}

/** Any other value of Python: it cannot be computed with here, and travels back unchanged. */
export class Extension {
  /**
   * @param {string} type what docs/protocol.md calls it: "Decimal", "dataclass", …
   * @param {unknown} value its content
   * @param {number} code
   * @param {Uint8Array} bytes the content as it came
   */
  constructor(type, value, code, bytes) {
    this.type = type;
    this.value = value;
    Object.defineProperties(this, { code: { value: code }, bytes: { value: bytes } });
    Object.freeze(this);
  }

  /** The fields of a dataclass, Struct or model. */
  get fields() {
    return Array.isArray(this.value) && typeof this.value[0] === "string" ? this.value[1] : undefined;
  }

  toString() {
    return typeof this.value === "string" ? this.value : `[${this.type}]`;
  }
}

/** Arguments by name, as the last argument of a call: `price("apple", kwargs({ day: 3 }))`. */
export class Kwargs {
  constructor(named) {
    this.named = named;
  }
}

export function kwargs(named) {
  return new Kwargs(named);
}
