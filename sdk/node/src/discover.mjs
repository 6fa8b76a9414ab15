// `node discover.mjs --out FILE MODULE…`: imports modules and writes down the services that they export, as
// docs/protocol.md has them. A module that fails hides no other.

import "./hooks.mjs";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ownStack } from "./remote.mjs";
import { moduleName, nameServices, services } from "./service.mjs";
import { describe } from "./signature.mjs";

async function discover(modules) {
  const [imported, errors] = [[], []];
  for (const file of modules) {
    try {
      const exports = await import(pathToFileURL(path.resolve(file)).href);
      imported.push({ file, exports, module: moduleName(file) });
    } catch (error) {
      errors.push(failure(file, error));
    }
  }
  await nameServices(imported, process.env.MSX_PROJECT ?? process.cwd());
  return { services: imported.flatMap(({ file }) => servicesOf(file)), errors };
}

function servicesOf(module) {
  const prefix = `${moduleName(module)}.`;
  const own = [...services.values()].filter(({ name }) => name?.startsWith(prefix) && !name.slice(prefix.length).includes("."));
  return own.map(({ name, fn, doc, settings, url, line }) => ({
    name,
    module,
    function: name.slice(prefix.length),
    kind: "async",
    file: fileURLToPath(url),
    line,
    options: snakeCase(settings),
    signature: describe(fn, doc),
  }));
}

/** The manifest's spelling of settings: `runTimeout` is `run_timeout`. */
function snakeCase(settings) {
  const renamed = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [renamed(name), value]));
}

function failure(module, thrown) {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const traceback = error instanceof SyntaxError ? syntaxReport(module, error) : ownStack(error);
  const [, file, line] = /(?:file:\/\/)?(\/[^\s():]+):(\d+)/.exec(traceback) ?? [];
  const message = `${error.name}: ${error.message}`.split("\n")[0];
  return { module, file: file ?? null, line: line === undefined ? null : Number(line), message, traceback };
}

/** Where a mistake of syntax is, only Node.js itself can tell; if it is in an imported module, not even it. */
function syntaxReport(module, error) {
  const { stderr } = spawnSync(process.execPath, ["--check", module], { encoding: "utf8", timeout: 10_000 });
  const lines = (stderr ?? "").split("\n");
  const end = lines.findIndex((line) => /^\s+at |^Node\.js /.test(line));
  const report = lines.slice(0, end < 0 ? undefined : end).join("\n").trim();
  return report === "" ? ownStack(error) : report;
}

const [, out, ...modules] = process.argv.slice(2);
const found = await discover(modules);
fs.writeFileSync(out, JSON.stringify(found));
process.exit(0); // a timer that a module has started would keep this process alive
