//! `@microservice` used in ways that cannot work.

use crate::support::{Sandbox, assert_output};

/// A module `a` of this text, below the import of the decorator.
fn module(text: &str) -> Sandbox {
    Sandbox::with_modules("\"a\"").file("a.py", &format!("from msx import microservice\n\n{text}"))
}

#[test]
fn on_a_method() {
    assert_output!(module("class Shop:\n    @microservice\n    def order(self, item):\n        return item\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:4)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        class Shop:
      File "[ROOT]/a.py", line 4, in Shop
        @microservice
    TypeError: @microservice cannot make a service of Shop.order: it is a method; decorate a function of the module

    help: the traceback above is the module's own: correct it there
    "#);
    assert_output!(module("class Shop:\n    @microservice\n    @staticmethod\n    def order(item):\n        return item\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:4)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        class Shop:
      File "[ROOT]/a.py", line 4, in Shop
        @microservice
    TypeError: @microservice cannot make a service of Shop.order: it is a method; decorate a function of the module

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn on_a_class() {
    assert_output!(module("@microservice\nclass Shop:\n    pass\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        @microservice
    TypeError: @microservice cannot make a service of Shop: it has no __call__; define what a call of the service does as `def __call__(self, …)`

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn on_a_lambda() {
    assert_output!(module("double = microservice(lambda x: 2 * x)\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        double = microservice(lambda x: 2 * x)
    TypeError: @microservice cannot make a service of <lambda>: a lambda has no name; write it with def

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn on_an_inner_function() {
    assert_output!(module("def make():\n    @microservice\n    def inner():\n        pass\n    return inner\n\nmake()\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:4)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 9, in <module>
        make()
      File "[ROOT]/a.py", line 4, in make
        @microservice
    TypeError: @microservice cannot make a service of make.<locals>.inner: it is defined inside of a function, where a worker cannot find it; move it to the module

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn twice() {
    assert_output!(module("@microservice\n@microservice\ndef f():\n    pass\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        @microservice
    TypeError: @microservice cannot make a service of f: it is one already

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn on_something_else() {
    assert_output!(module("microservice(len)\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        microservice(len)
    TypeError: @microservice cannot make a service of len: it is of type builtin_function_or_method; decorate a function that is written with def or async def

    help: the traceback above is the module's own: correct it there
    "#);
    assert_output!(module("@microservice(4)\ndef f():\n    pass\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        @microservice(4)
    TypeError: @microservice cannot make a service of 4: it is of type int; decorate a function that is written with def or async def

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn with_an_option_that_is_not_there() {
    assert_output!(module("@microservice(thread=4)\ndef f():\n    pass\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        @microservice(thread=4)
    TypeError: @microservice has no option 'thread'; did you mean 'threads'?

    help: the traceback above is the module's own: correct it there
    "#);
    assert_output!(module("@microservice(colour='red')\ndef f():\n    pass\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        @microservice(colour='red')
    TypeError: @microservice has no option 'colour'; it has name, threads, concurrency, max_parked, run_timeout, durability, idempotent, concurrency_key, on_nondeterminism, retries, instances, min, max, scale, queue, expose, env, env_file, cwd, limits, depends_on, stop, watch, server, python, batch, within

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn with_an_option_that_is_no_data() {
    assert_output!(module("@microservice(threads=object())\ndef f():\n    pass\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:3)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 3, in <module>
        @microservice(threads=object())
    TypeError: @microservice: the option 'threads' must be plain data: Encoding objects of type object is unsupported

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn with_values_that_do_not_fit() {
    let text = "\
@microservice(threads=4)
async def f():
    pass

@microservice(threads=\"4\", run_timeout=30)
def g():
    pass

@microservice(concurrency=10)
def h():
    pass

@microservice(durability=\"fsync\", limits={})
def i():
    pass
";
    assert_output!(module(text), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × a.py:3: `threads` does not apply to `a.f`, which is `async def`
      help: use `concurrency`

      × a.py:7: `threads` must be a whole number from 1 to 1024, not a string

      × a.py:7: `run_timeout` must be a duration such as "30s", not an integer
      help: write a number with its unit in quotes: "100ms", "30s", "5m", "1h"

      × a.py:11: `concurrency` does not apply to `a.h`, which is `def`
      help: use `threads`

      × a.py:15: `limits` is not built yet
      help: remove it: set limits around msx itself, with ulimit or systemd

      × a.py:15: `durability = "fsync"` is not built yet
      help: remove it: there is no journal yet, and calls end with the hub (`durability = "none"`)
    "#);
}

#[test]
fn beside_settings_of_the_manifest_that_do_not_fit() {
    let sandbox = module("@microservice(max=2)\nasync def f():\n    pass\n");
    sandbox.edit(
        "services.toml",
        "[python]",
        "[services.f]\nthreads = 4\ninstances = { min = 3 }\n\n[python]",
    );
    assert_output!(sandbox, ["up"], @r"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × `threads` does not apply to `a.f`, which is `async def`
       ╭─[services.toml:2:1]
     1 │ [services.f]
     2 │ threads = 4
       · ───┬───
       ·    ╰── not for this service
     3 │ instances = { min = 3 }
       ╰────
      help: use `concurrency`

      × `instances.min` is 3 and `instances.max` is 2 (less than `min`: @microservice at a.py:3)
       ╭─[services.toml:3:15]
     2 │ threads = 4
     3 │ instances = { min = 3 }
       ·               ─┬─
       ·                ╰── more than `max`
     4 │
       ╰────
      help: make `min` at most `max`
    ");
}
