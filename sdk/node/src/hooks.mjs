// Lets modules that are imported after this one write `import … from "msx"` without an installation.

import * as module from "node:module";
import { SDK } from "./resolve.mjs";

if (module.registerHooks) {
  module.registerHooks({ resolve: (specifier, context, next) => (specifier === "msx" ? SDK : next(specifier, context)) });
} else {
  module.register("./resolve.mjs", import.meta.url);
}
