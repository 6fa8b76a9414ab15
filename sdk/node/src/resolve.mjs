// What `msx` stands for in an import: this SDK, so that hub and worker are of one version.

export const SDK = { url: new URL("./index.mjs", import.meta.url).href, format: "module", shortCircuit: true };

export async function resolve(specifier, context, next) {
  return specifier === "msx" ? SDK : next(specifier, context);
}
