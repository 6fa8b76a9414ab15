// The program of an instance: `node worker.mjs NAME FILE`, started by the hub.

import "./hooks.mjs";
import net from "node:net";
import { pathToFileURL } from "node:url";
import { mode, runHooks } from "./context.mjs";
import { Control } from "./control.mjs";
import { Engine } from "./engine.mjs";
import { VERSION } from "./protocol.mjs";
import { ownStack } from "./remote.mjs";
import { nameServices, services } from "./service.mjs";
import { describe } from "./signature.mjs";
import { SDK_VERSION } from "./version.mjs";

function die(why) {
  process.stderr.write(`msx: ${why}\n`);
  process.exit(1);
}

/** A descriptor that the hub has opened; its variable is not for programs that this one starts. */
function inherited(variable) {
  const number = process.env[variable] ?? "";
  delete process.env[variable];
  return /^\d+$/.test(number) ? Number(number) : die(`${variable}=${number} names no descriptor; a worker is started by the hub`);
}

function checkProtocol() {
  const spoken = process.env.MSX_PROTOCOL ?? String(VERSION);
  delete process.env.MSX_PROTOCOL;
  if (spoken === String(VERSION)) return;
  die(`the hub speaks version ${spoken} of the worker protocol, this SDK version ${VERSION}; install the SDK that came with the hub`);
}

async function load(name, file) {
  const [, module, exported] = /^(.*)\.([^.]*)$/.exec(name);
  try {
    const exports = await import(pathToFileURL(file).href);
    await nameServices([{ file, exports, module }], process.env.MSX_PROJECT ?? process.cwd());
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? ownStack(error) : String(error)}\n`);
    die(`${name}: its module ${file} cannot be imported`);
  }
  const definition = [...services.values()].find((one) => one.name === name);
  return definition ?? die(`${name}: the module ${file} exports no microservice of the name ${exported}`);
}

async function hooks(which, name) {
  try {
    await runHooks(which);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? ownStack(error) : String(error)}\n`);
    die(`${name}: a hook failed`);
  }
}

async function main([name, file]) {
  if (file === undefined) die("usage: node worker.mjs NAME FILE (started by the hub)");
  checkProtocol();
  const control = new Control(new net.Socket({ fd: inherited("MSX_FD") }), die);
  const lane = new net.Socket({ fd: inherited("MSX_LANE_FD"), allowHalfOpen: true });
  const tally = inherited("MSX_TALLY_FD");
  process.on("SIGINT", () => {}); // Ctrl-C is for the hub, which drains
  // A promise that nobody waits for is a mistake of one call, and no reason to end the others.
  process.on("unhandledRejection", (reason) => {
    process.stderr.write(`a rejected promise was not handled: ${reason instanceof Error ? ownStack(reason) : reason}\n`);
  });
  mode.isWorker = true;
  const service = await load(name, file);
  await hooks("start", name);
  const engine = new Engine(service, lane, tally);
  const signature = Buffer.from(JSON.stringify(describe(service.fn, service.doc)));
  const drained = control.ready(
    [VERSION, SDK_VERSION, `node ${process.versions.node}`, process.pid, name, "async", signature],
    engine,
  );
  engine.start(die);
  lane.on("error", () => {}); // whether the hub is gone, the control channel tells
  await drained;
  engine.write();
  await hooks("stop", name);
  lane.end(() => process.exit(0));
}

await main(process.argv.slice(2));
