// The exceptions of msx, and what a call that failed elsewhere raises here.

export const ORIGIN = Symbol("msx.origin");

/** A call failed. `service` raised it, `via` are the services it passed through, `traceback` is theirs. */
export class RemoteError extends Error {
  service = "";
  traceback = "";
  via = [];
  /** What it is elsewhere: `builtins.ValueError`, `js.TypeError`. */
  type = "msx.RemoteError";

  /** A group is an AggregateError, and a RemoteError too. */
  static [Symbol.hasInstance](value) {
    const isOne = Function.prototype[Symbol.hasInstance].call(this, value);
    return isOne || (this === RemoteError && value?.[ORIGIN] !== undefined);
  }
}

/** The callee ran longer than its `run_timeout`, or the call had a deadline that has passed. */
export class TimeoutError extends RemoteError {}

/** No instance of the service can take the call: unknown, scaled to zero, or crashing. */
export class ServiceUnavailable extends RemoteError {}

/** The instance ended while it ran the call, so it is unknown how far the call got. */
export class InstanceDied extends RemoteError {}

/** A function that was run again asked for other calls than the first time. */
export class NonDeterminismError extends RemoteError {}

/** A message, a queue or a tree of calls is larger than its bound. */
export class LimitExceeded extends RemoteError {}

/** One idempotency key was given to two different calls. */
export class IdempotencyConflict extends RemoteError {}

/** The call was cancelled; the reason of its `AbortSignal`. */
export class Cancelled extends RemoteError {}

/** Thrown by a service's function, itself or a class of it: another attempt would fail as well. */
export class Fatal extends Error {}

/** A stub was used in a way that cannot work; the message names the fix. */
export class UsageError extends Error {}

/** The exceptions of msx, by their names on the wire. */
export const OWN = new Map(
  [TimeoutError, ServiceUnavailable, InstanceDied, NonDeterminismError, LimitExceeded, IdempotencyConflict, Cancelled]
    .map((kind) => [`msx.${kind.name}`, kind]),
);

for (const kind of [RemoteError, Fatal, UsageError, ...OWN.values()]) {
  Object.defineProperty(kind.prototype, "name", { value: kind.name, configurable: true, writable: true });
}
