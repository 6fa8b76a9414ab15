// The parameters of a function, read from its text: JavaScript keeps no other record of them.

const OPENING = "([{";
const CLOSING = ")]}";
const COMMENTS = [["//", "\n"], ["/*", "*/"]];

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

/** What stands between the brackets behind the name, or before the arrow, without comments. */
function parameterText(source) {
  const short = /^\s*(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u.exec(source);
  if (short !== null) return short[1];
  let [kept, depth] = ["", 0];
  for (const { text, isCode, isComment } of pieces(source.slice(source.indexOf("(") + 1))) {
    if (isCode && OPENING.includes(text)) depth++;
    else if (isCode && CLOSING.includes(text) && depth-- === 0) return kept;
    if (!isComment) kept += text;
  }
  return kept;
}

function split(parameters) {
  const parts = [""];
  let depth = 0;
  for (const { text, isCode } of pieces(parameters)) {
    if (isCode && OPENING.includes(text)) depth++;
    else if (isCode && CLOSING.includes(text)) depth--;
    if (isCode && text === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += text;
  }
  return parts.map((part) => part.trim());
}

/** A text as its strings, its comments, and the single characters of all else. */
function* pieces(source) {
  for (let at = 0; at < source.length; ) {
    const isString = /["'`]/.test(source[at]);
    const comment = COMMENTS.find(([begin]) => source.startsWith(begin, at));
    const end = isString ? afterString(source, at) : comment ? afterComment(source, at, comment[1]) : at + 1;
    yield { text: source.slice(at, end), isCode: !isString && !comment, isComment: comment !== undefined };
    at = end;
  }
}

function afterString(text, from) {
  let at = from + 1;
  while (at < text.length && text[at] !== text[from]) at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function afterComment(text, from, end) {
  const found = text.indexOf(end, from + 2);
  return found < 0 ? text.length : found + end.length;
}
