//! Services in JavaScript that cannot be started: no Node.js, files that are not there, modules that fail.

use crate::node::with_node;
use crate::support::{SERVICE, Sandbox, assert_output};

fn manifest(node: &str) -> Sandbox {
    with_node(Sandbox::with_manifest(&format!("[node]\n{node}\n")))
}

/// A project whose only module has this text.
fn module(text: &str) -> Sandbox {
    manifest("modules = [\"services/prices.mjs\"]").file("services/prices.mjs", text)
}

#[test]
fn a_file_that_is_not_there() {
    let sandbox = manifest("modules = [\"services/price.mjs\"]").file("services/prices.mjs", "");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × there is no file `services/price.mjs`
       ╭─[services.toml:2:12]
     1 │ [node]
     2 │ modules = ["services/price.mjs"]
       ·            ──────────┬─────────
       ·                      ╰── this module
       ╰────
      help: did you mean "services/prices.mjs"?
    "#);
}

#[test]
fn paths_that_name_no_module() {
    let sandbox = manifest("modules = [\"services/prices\", \"services/my-prices.mjs\"]");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × `services/prices` is not a file of JavaScript
       ╭─[services.toml:2:12]
     1 │ [node]
     2 │ modules = ["services/prices", "services/my-prices.mjs"]
       ·            ────────┬────────
       ·                    ╰── no JavaScript
       ╰────
      help: write its path with its ending, such as "services/prices.mjs"

      × `services/my-prices.mjs` cannot name a service
       ╭─[services.toml:2:31]
     1 │ [node]
     2 │ modules = ["services/prices", "services/my-prices.mjs"]
       ·                               ────────────┬───────────
       ·                                           ╰── no module name
       ╰────
      help: write the path from the manifest's folder; folders and file have names of letters, digits
            and `_`
    "#);
}

#[test]
fn a_mistyped_key() {
    let sandbox = manifest("module = [\"services/prices.mjs\"]");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × unknown key `module` in [node]
       ╭─[services.toml:2:1]
     1 │ [node]
     2 │ module = ["services/prices.mjs"]
       · ───┬──
       ·    ╰── unknown
       ╰────
      help: did you mean `modules`?
    "#);
}

#[test]
fn no_node() {
    let sandbox = module("").env("PATH", "/nonexistent");
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: the services of `[node]` need Node.js, and there is no `node` on PATH
    help: install Node.js 20.6 or newer from nodejs.org or your distribution, or name one in services.toml: `[node] interpreter = "/path/to/node"`
    "#);
}

#[test]
fn a_node_that_is_too_old() {
    let text = "interpreter = \"./old-node\"\nmodules = [\"services/prices.mjs\"]";
    let sandbox = manifest(text).file("services/prices.mjs", "");
    sandbox.program("old-node", "#!/bin/sh\necho v18.2.0\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × `[ROOT]/old-node` is Node.js v18.2.0, and msx needs 20.6 or newer
       ╭─[services.toml:2:1]
     1 │ [node]
     2 │ interpreter = "./old-node"
       · ─────┬─────
       ·      ╰── this interpreter
     3 │ modules = ["services/prices.mjs"]
       ╰────
      help: install a newer one, or name one in services.toml: `[node] interpreter = "/path/to/node"`
    "#);
}

#[test]
fn a_mistake_of_syntax() {
    let sandbox = module("import { microservice } from \"msx\";\nexport const f = microservice((x) => x;\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `services/prices.mjs` ([ROOT]/services/prices.mjs:2)

    [ROOT]/services/prices.mjs:2
    export const f = microservice((x) => x;

    SyntaxError: missing ) after argument list

    help: the stack above is the module's own: correct it there
    "#);
}

#[test]
fn a_module_that_throws() {
    let sandbox = module("import { microservice } from \"msx\";\nexport const f = microservice(5);\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `services/prices.mjs` ([ROOT]/services/prices.mjs:2)

    TypeError: microservice(…) takes a function, not number
        at file://[ROOT]/services/prices.mjs:2:18

    help: the stack above is the module's own: correct it there
    "#);
}

#[test]
fn a_package_that_is_not_installed() {
    let sandbox = module("import \"no-such-package\";\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `services/prices.mjs`

    Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'no-such-package' imported from [ROOT]/services/prices.mjs

    help: packages that the modules import are found in `node_modules` beside or above them: `npm install` puts them there
    "#);
}

#[test]
fn a_module_without_services() {
    let sandbox = module("export const x = 1;\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × the module `services/prices.mjs` exports no service
       ╭─[services.toml:2:12]
     1 │ [node]
     2 │ modules = ["services/prices.mjs"]
       ·            ──────────┬──────────
       ·                      ╰── this module
       ╰────
      help: export one: `export const add = microservice((x, y) => x + y)`
    "#);
}

#[test]
fn a_module_that_ends_the_process() {
    let sandbox = module("console.log(\"bye\");\nprocess.exit(3);\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: the process that imports `services/prices.mjs` ended early, with exit status 3

    bye

    help: a module must neither end nor crash the process when it is imported
    "#);
}

#[test]
fn options_that_there_are_not() {
    let options = "{ concurency: 3, runTimeout: 5 }";
    let text = format!(
        "import {{ microservice }} from \"msx\";\nexport const f = microservice((x) => x, {options});\n"
    );
    assert_output!(module(&text), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × services/prices.mjs:2: unknown option `concurency` in @microservice
      help: did you mean `concurrency`?

      × services/prices.mjs:2: `run_timeout` must be a duration such as "30s", not an integer
      help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"
    "#);
}

#[test]
fn one_name_in_two_languages() {
    let manifest = "[python]\nmodules = [\"prices\"]\n\n[node]\nmodules = [\"prices.mjs\"]\n";
    let sandbox = with_node(Sandbox::with_manifest(manifest)).file("prices.py", SERVICE).file(
        "prices.mjs",
        "import { microservice } from \"msx\";\nexport const f = microservice((x) => x);\n",
    );
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × `prices.f` is defined in Python and in `prices.mjs`
       ╭─[services.toml:5:12]
     4 │ [node]
     5 │ modules = ["prices.mjs"]
       ·            ──────┬─────
       ·                  ╰── this module
       ╰────
      help: rename one of the two
    "#);
}
