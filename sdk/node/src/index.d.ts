/** What may be said of a service beside its function; the manifest's `[services.NAME]` goes before it. */
export interface ServiceOptions {
  /** The first lines of its description. */
  doc?: string;
  /** Calls that may run at once in one instance (100). */
  concurrency?: number;
  min?: number;
  max?: number;
  maxParked?: number;
  /** `"30s"` */
  runTimeout?: string;
  retries?: { max?: number; backoff?: string };
  idempotent?: boolean;
  concurrencyKey?: number;
  expose?: boolean;
  env?: Record<string, string>;
  [setting: string]: unknown;
}

/** What one call asks for beside its arguments. */
export interface CallOptions {
  /** Milliseconds: when they have passed the call ends with TimeoutError. */
  timeout?: number;
  retries?: number;
  idempotencyKey?: string;
  key?: string;
  /** Types of errors, such as `"builtins.OSError"` or `"js.TypeError"`. */
  retryOn?: string[];
}

/** Stands for a service everywhere; to call it is to ask for a call. */
export interface Service<A extends unknown[], R> {
  (...args: A): Promise<R>;
  /** The same with options. */
  options(options: CallOptions): Service<A, R>;
}

/** A service that is defined here. */
export interface Defined<A extends unknown[], R> extends Service<A, R> {
  /** The function itself, in place. */
  local(...args: A): R | Promise<R>;
}

/** Makes a service of a function. Its name is the module's and that of the export it is given to. */
export function microservice<A extends unknown[], R>(
  fn: (...args: A) => R | Promise<R>,
  options?: ServiceOptions,
): Defined<A, R>;

/** A service that is defined elsewhere, by its canonical or its short name. */
export function service<A extends unknown[] = any[], R = any>(name: string): Service<A, R>;

/** Calls a service by its name. */
export function call<R = any>(name: string, ...args: unknown[]): Promise<R>;

/** All results, in the order of the calls. Unlike with `Promise.all`, the caller waits once, however many there are. */
export function gather<T extends readonly unknown[] | []>(calls: T): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }>;

/** Runs a function once: what it returned or threw is what every attempt of the call gets. */
export function run<A extends unknown[], R>(fn: (...args: A) => R | Promise<R>, ...args: A): Promise<R>;

/** What a call knows of itself. */
export interface Context {
  readonly id: string;
  readonly service: string;
  /** The service that called it; null for a root. */
  readonly via: string | null;
  readonly attempt: number;
  readonly isReplay: boolean;
  /** When its caller stops waiting. */
  readonly deadline: Date | null;
  /** Aborted when the call is cancelled or has run for too long. */
  readonly signal: AbortSignal;
}

export function context(): Context;

/** Says what the call is about, for `msx calls`. */
export function summary(text: string): void;

/** Runs a function before the instance takes calls. */
export function onStart(fn: () => unknown): void;

/** Runs a function when the instance has ended its last call. */
export function onStop(fn: () => unknown): void;

/** Arguments by name, as the last argument of a call. */
export function kwargs(named: Record<string, unknown>): Kwargs;

export interface Kwargs {
  readonly named: Record<string, unknown>;
}

/** A tuple of Python; travels back as one. */
export class Tuple<T = unknown> extends Array<T> {}

/** A frozenset of Python; travels back as one. */
export class FrozenSet<T = unknown> extends Set<T> {}

/** A datetime of Python, with the microseconds and the offset that it came with. */
export class DateTime extends Date {
  constructor(text: string);
  readonly text: string;
}

/** Any other value of Python: it travels back unchanged. */
export class Extension {
  private constructor();
  readonly type: string;
  readonly value: unknown;
  /** Of a dataclass, Struct or model. */
  readonly fields: Record<string, unknown> | undefined;
  toString(): string;
}

/** A call failed. A group of Python is an AggregateError, too. */
export class RemoteError extends Error {
  /** The service that raised it. */
  readonly service: string;
  /** The services that it passed through, the innermost first. */
  readonly via: readonly string[];
  /** The traceback there. */
  readonly traceback: string;
  /** `builtins.ValueError`, `js.TypeError` */
  readonly type: string;
}

export class TimeoutError extends RemoteError {}
export class ServiceUnavailable extends RemoteError {}
export class InstanceDied extends RemoteError {}
export class NonDeterminismError extends RemoteError {}
export class LimitExceeded extends RemoteError {}
export class IdempotencyConflict extends RemoteError {}
export class Cancelled extends RemoteError {}

/** Thrown by a service's function, itself or a class of it: another attempt would fail as well. */
export class Fatal extends Error {}

/** A stub was used in a way that cannot work. */
export class UsageError extends Error {}
