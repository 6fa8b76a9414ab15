import { microservice } from "../../src/index.mjs";

export const shared = microservice(() => 1);

/** A service for whoever asks. */
export function make() {
  return microservice(() => 2);
}
