// Lets the project's modules write `import … from "msx"` without an installation: loaded by `node --import`.

import * as module from "node:module";
import { SDK, resolve } from "./resolve.mjs";

if (module.registerHooks) {
  const resolveNow = (specifier, context, next) => (specifier === "msx" ? SDK : next(specifier, context));
  module.registerHooks({ resolve: resolveNow });
} else {
  module.register("./resolve.mjs", import.meta.url);
}

export { resolve };
