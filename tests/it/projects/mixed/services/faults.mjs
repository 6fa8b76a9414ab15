import { Cancelled, Fatal, RemoteError, context, microservice, service } from "msx";
import { add } from "./flow.mjs";

const raises = service("raises");

class OutOfStock extends RangeError {
  code = "E17";
}

export const js_raises = microservice(async (text) => {
  await add(1, 2);
  throw new OutOfStock(text, { cause: new Error("the shelf is empty") });
});

export const raises_several = microservice(() => {
  throw new AggregateError([new Error("left"), new TypeError("right")], "both");
});

export const passes = microservice((text) => raises(text));

export const catches = microservice(async () => {
  const error = await raises("no such order").catch((caught) => caught);
  const { name, message, type, order, via } = error;
  const place = error.stack.includes("faults.mjs") && error.stack.includes('raise error');
  return { name, message, type, order, service: error.service, via, isRemote: error instanceof RemoteError, place };
});

export const cannot_travel = microservice(() => ({ when: new WeakMap() }));
export const unknown = microservice(() => service("no_such_service")(1));
export const outside = microservice(() => raises(new WeakMap()));
export const fatal = microservice(() => {
  throw new Fatal("for good");
});

/** Ends neither by itself nor by its signal; what it does later does not count. */
export const hangs = microservice(async (how) => {
  const { signal } = context();
  if (how === "listens") {
    await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
  await new Promise(() => setInterval(() => signal.reason instanceof Cancelled, 1000).unref());
});
