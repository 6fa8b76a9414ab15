// Services and their stubs: `microservice(fn)` defines one, `service(name)` stands for one that is elsewhere.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { decode, encode } from "./codec.mjs";
import { mode, storage } from "./context.mjs";
import { UsageError } from "./errors.mjs";
import { Kwargs } from "./values.mjs";

/** What `microservice` made, by its stub. */
export const services = new Map();
const SDK = new URL(".", import.meta.url).href;

/** Makes a service of a function. Its name is the module's and that of the export it is given to. */
export function microservice(fn, options = {}) {
  check(fn);
  const { doc, ...settings } = options;
  const definition = { fn, doc, settings, name: null, ...place() };
  const stub = makeStub(() => nameOf(definition), {}, fn);
  services.set(stub, definition);
  return stub;
}

function check(fn) {
  if (typeof fn !== "function") throw new TypeError(`microservice(…) takes a function, not ${typeof fn}`);
  const kind = Object.prototype.toString.call(fn);
  if (kind.includes("Generator")) throw new TypeError("microservice(…) takes no generator function so far: return an array");
  if (/^class\b/.test(String(fn))) throw new TypeError("microservice(…) takes no class: make the object with onStart(…)");
}

/** A service that is defined elsewhere, by its canonical or its short name. */
export function service(name) {
  if (typeof name !== "string" || name === "") throw new TypeError("service(…) takes the name of a service");
  return makeStub(() => name, {}, undefined);
}

/** Calls a service by its name. */
export function call(name, ...args) {
  return service(name)(...args);
}

function makeStub(name, options, fn) {
  const stub = (...args) => ask(name, args, options, fn);
  stub.options = (more) => makeStub(name, { ...options, ...wireOptions(more) }, fn);
  if (fn !== undefined) stub.local = fn;
  return stub;
}

function ask(name, all, options, fn) {
  const last = all.at(-1);
  const [args, kwargs] = last instanceof Kwargs ? [all.slice(0, -1), last.named] : [all, {}];
  const current = storage.getStore();
  if (current !== undefined) {
    const asked = Object.keys(options).length > 0 ? options : null;
    return current.call.ask(name, args, kwargs, asked, current.inMemo);
  }
  return outside(name, args, kwargs, fn);
}

/** Outside of a hub a function runs here, with values as they would travel. */
async function outside(name, args, kwargs, fn) {
  if (mode.isWorker) {
    throw new UsageError(`${name()} was called outside of a call: services are called by the code of a service's function`);
  }
  if (fn === undefined) throw new UsageError(`${name()} can only be called by a service that runs under \`msx up\``);
  if (Object.keys(kwargs).length > 0) throw new UsageError(`${name()}: kwargs(…) is for calls under \`msx up\``);
  return decode(encode(await fn(...decode(encode(args)))));
}

const OPTIONS = {
  timeout: ["timeout", (value) => whole("timeout", value)],
  retries: ["retries", (value) => whole("retries", value)],
  idempotencyKey: ["idempotency_key", String],
  key: ["key", String],
  retryOn: ["retry_on", (value) => value.map(String)],
};

function wireOptions(options) {
  const known = Object.keys(OPTIONS);
  const entries = Object.entries(options).map(([name, value]) => {
    if (!known.includes(name)) throw new UsageError(`options(…) knows no ${name}; it knows ${known.join(", ")}`);
    const [key, convert] = OPTIONS[name];
    return [key, convert(value)];
  });
  return Object.fromEntries(entries);
}

function whole(name, value) {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new UsageError(`the option ${name} is a whole number${name === "timeout" ? " of milliseconds" : ""}, not ${value}`);
}

// --- names --------------------------------------------------------------------------------------------------

function nameOf({ name, url, line }) {
  if (name !== null) return name;
  throw new UsageError(`the service at ${fileURLToPath(url)}:${line} has no name: export it from its module`);
}

/**
 * Names the services of modules, `{ file, exports, module }`, and those of modules that they import. A service belongs to
 * the module that defines it, whoever exports it again; one that a function of another module has made, to its exporter.
 */
export async function nameServices(modules, root) {
  for (const { file, exports, module } of modules) nameExports(exports, module, urlOf(file));
  await nameImported(root);
  for (const { exports, module } of modules) nameExports(exports, module, null);
}

function nameExports(exports, module, url) {
  for (const [exported, stub] of Object.entries(exports)) {
    const definition = services.get(stub);
    if (definition === undefined || (url !== null && definition.url !== url)) continue;
    const own = exported === "default" ? definition.fn.name || module.split(".").at(-1) : exported;
    definition.name ??= `${module}.${own}`;
  }
}

/** They are loaded already. */
async function nameImported(root) {
  const unnamed = [...services.values()].filter((definition) => definition.name === null);
  for (const url of new Set(unnamed.map((definition) => definition.url))) {
    nameExports(await import(url), moduleName(path.relative(root, fileURLToPath(url))), url);
  }
}

function urlOf(file) {
  return pathToFileURL(fs.realpathSync(file)).href;
}

/** `services/prices.mjs` → `services.prices` */
export function moduleName(file) {
  return file.slice(0, -path.extname(file).length).split(path.sep).join(".");
}

/** Where `microservice` was called. */
function place() {
  const prepare = Error.prepareStackTrace;
  try {
    Error.prepareStackTrace = (_, sites) => sites;
    const site = new Error().stack.find((one) => !(one.getFileName() ?? "").startsWith(SDK));
    const file = site?.getFileName() ?? "";
    return { url: file.startsWith("file:") ? file : `file://${file}`, line: site?.getLineNumber() ?? 0 };
  } finally {
    Error.prepareStackTrace = prepare;
  }
}
