// The parameters of a function, read from its text: JavaScript keeps no other record of them.

const OPENING = "([{";
const CLOSING = ")]}";

/** Its parameters: `{ name, kind, required, text }`, of the kinds of Python. */
export function parametersOf(fn) {
  return split(parameterText(String(fn))).map(parameter).filter((found) => found !== null);
}

/** The signature object of the protocol. */
export function describe(fn, doc) {
  const found = parametersOf(fn);
  return {
    text: `(${found.map((one) => one.text).join(", ")})`,
    doc: doc ?? null,
    returns: null,
    params: found.map(({ name, kind, required }) => ({ name, kind, annotation: null, required, schema: null })),
  };
}

/** Arguments for a call of the function: those by name at their places. */
export function bind(name, parameters, args, kwargs) {
  const bound = [...args];
  const rest = { ...kwargs };
  parameters.forEach(({ name: own, kind }, at) => {
    if (kind === "positional_or_keyword" && own in rest) {
      if (at < args.length) throw new TypeError(`${name}() got two values for its parameter ${own}`);
      bound[at] = rest[own];
      delete rest[own];
    } else if (kind === "var_keyword" && at >= args.length && Object.keys(rest).length > 0) {
      bound[at] = { ...rest };
      Object.keys(rest).forEach((key) => delete rest[key]);
    }
  });
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) throw new TypeError(`${name}() has no parameter ${unknown}`);
  return bound;
}

function parameter(text, at) {
  if (text === "") return null;
  if (text.startsWith("...")) {
    const name = text.slice(3).trim();
    return { name, kind: "var_positional", required: false, text: `*${name}` };
  }
  // What is taken apart has no name; an object is what arguments by name are.
  if (text.startsWith("{")) return { name: `options`, kind: "var_keyword", required: false, text: "**options" };
  const [name, ...value] = text.split("=");
  const shown = text.startsWith("[") ? `arg${at}` : name.trim();
  const required = value.length === 0;
  const described = required ? shown : `${shown}=${value.join("=").trim()}`;
  return { name: shown, kind: "positional_or_keyword", required, text: described };
}

/** What stands between the brackets behind the name, or before the arrow. */
function parameterText(source) {
  const short = /^\s*(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u.exec(source);
  if (short !== null) return short[1];
  const from = source.indexOf("(") + 1;
  let depth = 0;
  for (const [at, char] of code(source, from)) {
    if (OPENING.includes(char)) depth++;
    else if (CLOSING.includes(char) && depth-- === 0) return withoutComments(source.slice(from, at));
  }
  return "";
}

function split(text) {
  const parts = [];
  let [from, depth] = [0, 0];
  for (const [at, char] of code(text, 0)) {
    if (OPENING.includes(char)) depth++;
    else if (CLOSING.includes(char)) depth--;
    else if (char === "," && depth === 0) {
      parts.push(text.slice(from, at).trim());
      from = at + 1;
    }
  }
  return [...parts, text.slice(from).trim()];
}

/** The characters that are neither in a string nor in a comment, with their places. */
function* code(text, from) {
  for (let at = from; at < text.length; at++) {
    const skipped = /["'`]/.test(text[at]) ? afterString(text, at) : afterComment(text, at);
    if (skipped > at) at = skipped - 1;
    else yield [at, text[at]];
  }
}

function afterString(text, from) {
  let at = from + 1;
  while (at < text.length && text[at] !== text[from]) at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function afterComment(text, at) {
  const end = { "//": "\n", "/*": "*/" }[text.slice(at, at + 2)];
  if (end === undefined) return at;
  const found = text.indexOf(end, at + 2);
  return found < 0 ? text.length : found + end.length;
}

function withoutComments(text) {
  let [kept, last] = ["", 0];
  for (let at = 0; at < text.length; at++) {
    const skipped = /["'`]/.test(text[at]) ? at : afterComment(text, at);
    if (/["'`]/.test(text[at])) at = afterString(text, at) - 1;
    if (skipped > at) {
      kept += text.slice(last, at);
      last = skipped;
      at = skipped - 1;
    }
  }
  return kept + text.slice(last);
}
