// What index.d.ts declares is what there is. What TypeScript makes of it: typed.ts.

import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import * as msx from "../src/index.mjs";

test("the values that are declared are those that are exported", () => {
  const text = fs.readFileSync(new URL("../src/index.d.ts", import.meta.url), "utf8");
  const declared = [...text.matchAll(/^export (?:declare )?(?:function|class|const) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual([...new Set(declared)].sort(), Object.keys(msx).sort());
});
