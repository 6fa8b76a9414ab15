// The golden bytes that the tests of Rust, Python and JavaScript share.

import fs from "node:fs";

const FOLDER = new URL("../../../tests/conformance/", import.meta.url);

/** The vectors of a file; whole numbers that JSON.parse would round are bigint. */
export function vectors(name) {
  const text = fs.readFileSync(new URL(name, FOLDER), "utf8");
  const exact = text.replace(/(?<=[:[,] ?)\d{16,}/g, (digits) => `{"big": "${digits}"}`);
  return JSON.parse(exact, (_, value) => (typeof value?.big === "string" ? BigInt(value.big) : value));
}

export function bytes(hex) {
  return Buffer.from(hex, "hex");
}
