// What TypeScript infers of src/index.d.ts. Never run: `tsc --noEmit --strict` reads it (tests/it/node.rs).

import {
  Cancelled, DateTime, Extension, Fatal, FrozenSet, InstanceDied, RemoteError, TimeoutError, Tuple, UsageError, call, context,
  gather, kwargs, microservice, onStart, onStop, run, service, summary,
} from "msx";
import type { CallOptions, Context, Defined, Kwargs, Service, ServiceOptions } from "msx";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** The value has this type, no wider and no narrower one. */
function is<Wanted>() {
  return <Got>(_value: Got, _same: Same<Got, Wanted>): void => {};
}

// --- services keep the signature of their function ---

const add = microservice((x: number, y: number) => x + y);
const name = microservice(async (id: string) => (id === "" ? null : { id }));
is<Defined<[x: number, y: number], number>>()(add, true);
is<Promise<number>>()(add(1, 2), true);
is<Promise<{ id: string } | null>>()(name("a"), true);
is<number | Promise<number>>()(add.local(1, 2), true);
// @ts-expect-error: an argument of another type
add(1, "2");
// @ts-expect-error: an argument too few
add(1);
// @ts-expect-error: not a function
microservice(5);

// --- options of a service ---

const settings = {
  doc: "Adds.", concurrency: 3, min: 0, max: 4, maxParked: 2, runTimeout: "5s", retries: { max: 2, backoff: "1s" },
  idempotent: true, concurrencyKey: 0, expose: false, env: { LEVEL: "info" },
} satisfies ServiceOptions;
microservice((x: number) => x, settings);
// @ts-expect-error: a duration is a text with its unit
microservice((x: number) => x, { runTimeout: 5 });
// @ts-expect-error: a number
microservice((x: number) => x, { concurrency: "3" });

// --- options of a call ---

const asked = { timeout: 500, retries: 2, idempotencyKey: "k", key: "customer", retryOn: ["builtins.OSError"] } satisfies CallOptions;
is<Service<[x: number, y: number], number>>()(add.options(asked), true);
is<Promise<number>>()(add.options({}).options({ key: "a" })(1, 2), true);
// @ts-expect-error: a mistyped option
add.options({ timeOut: 500 });
// @ts-expect-error: milliseconds
add.options({ timeout: "500ms" });

// --- services that are elsewhere ---

const orders = service("shop.orders");
is<Service<any[], any>>()(orders, true);
is<Service<[item: string], number>>()(service<[item: string], number>("shop.price"), true);
is<Promise<any>>()(call("shop.orders", 1, kwargs({ fast: true })), true);
is<Promise<number>>()(call<number>("shop.price", "pear"), true);
is<Kwargs>()(kwargs({ fast: true }), true);
// @ts-expect-error: a service has a name
service(5);

// --- several at once, and once only ---

is<Promise<[number, { id: string } | null, string]>>()(gather([add(1, 2), name("a"), "plain"]), true);
is<Promise<number[]>>()(gather([1, 2].map((x) => add(x, x))), true);
is<Promise<Date>>()(run(() => new Date()), true);
is<Promise<string>>()(run(async (x: number) => String(x), 1), true);
// @ts-expect-error: the function takes a number
run((x: number) => x, "1");

// --- what a call knows of itself ---

const own: Context = context();
is<string>()(own.id, true);
is<string | null>()(own.via, true);
is<Date | null>()(own.deadline, true);
is<AbortSignal>()(own.signal, true);
is<boolean>()(own.isReplay, true);
is<number>()(own.attempt, true);
// @ts-expect-error: it is not the code that says which attempt it is
own.attempt = 2;
is<void>()(summary("an order"), true);
onStart(async () => {});
onStop(() => 5);

// --- values of Python ---

const pair = new Tuple<number>(1, 2);
is<number | undefined>()(pair.at(0), true);
is<number[]>()([...pair], true);
is<boolean>()(new FrozenSet<string>(["a"]).has("a"), true);
is<string>()(new DateTime("2026-01-01T00:00:00").text, true);
declare const extension: Extension;
is<Record<string, unknown> | undefined>()(extension.fields, true);
// @ts-expect-error: only what came from Python
new Extension();

// --- errors ---

try {
  await add(1, 2);
} catch (error) {
  if (error instanceof TimeoutError) is<TimeoutError>()(error, true);
  if (error instanceof RemoteError) {
    is<string>()(error.service, true);
    is<readonly string[]>()(error.via, true);
    is<string>()(error.traceback, true);
    is<string>()(error.type, true);
  }
}
const remote: RemoteError[] = [new InstanceDied(), new Cancelled()];
const plain: Error[] = [new Fatal("no"), new UsageError("no"), ...remote];
// @ts-expect-error: raised by this program, so it came from nowhere
new Fatal("no").service;

export { plain };
