// The control channel of a worker.

import { ASKBACK, ASKSTACKS, DRAIN, INTERRUPT, PING, Splitter, decodeMessage, frames } from "./protocol.mjs";

export class Control {
  #socket;
  #engine = null;
  #isDrained = false;
  #onDrain = () => {};

  constructor(socket, die) {
    this.#socket = socket;
    const splitter = new Splitter();
    socket.on("data", (chunk) => {
      try {
        splitter.push(chunk, (tag, body) => this.#handle(decodeMessage(tag, body)));
      } catch (error) {
        die(`control channel: ${error.message}`);
      }
    });
    // The hub is gone, and with it whoever waits for an answer.
    socket.on("close", () => process.exit(0));
    socket.on("error", () => process.exit(0));
  }

  /** Says hello: from here on there are calls. Resolves when there will be no more. */
  ready(hello, engine) {
    this.#socket.write(frames.hello(hello));
    this.#engine = engine;
    return new Promise((resolve) => {
      this.#onDrain = resolve;
      if (this.#isDrained) resolve();
    });
  }

  #handle(message) {
    switch (message.tag) {
      case PING: return this.#socket.write(frames.pong(message.nonce));
      case INTERRUPT: return this.#interrupt(message);
      case ASKSTACKS: return this.#socket.write(frames.stacks(message.nonce, this.#engine?.stacks() ?? []));
      case ASKBACK: return; // nothing waits for its turn here
      case DRAIN: return this.#drain();
    }
  }

  #interrupt(message) {
    this.#socket.write(frames.stack(message.call, message.attempt, this.#engine?.stackOf(message) ?? ""));
    this.#engine?.interrupt(message);
  }

  #drain() {
    this.#isDrained = true;
    this.#onDrain();
  }
}
