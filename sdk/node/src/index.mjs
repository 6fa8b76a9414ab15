// The package `msx`.

export { gather } from "./call.mjs";
export { context, onStart, onStop, run, summary } from "./context.mjs";
export {
  Cancelled, Fatal, IdempotencyConflict, InstanceDied, LimitExceeded, NonDeterminismError, RemoteError, ServiceUnavailable,
  TimeoutError, UsageError,
} from "./errors.mjs";
export { call, microservice, service } from "./service.mjs";
export { DateTime, Extension, FrozenSet, Tuple, kwargs } from "./values.mjs";
