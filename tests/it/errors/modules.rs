//! Modules of the user that cannot be imported: their own traceback, with file and line.

use crate::support::{SERVICE, Sandbox, assert_output};

#[test]
fn a_module_that_is_not_there() {
    let sandbox = Sandbox::with_modules("\"a\", \"shop.oders\"")
        .file("a.py", SERVICE)
        .file("shop/__init__.py", "")
        .file("shop/orders.py", SERVICE);
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × there is no module `shop.oders`
       ╭─[services.toml:2:17]
     1 │ [python]
     2 │ modules = ["a", "shop.oders"]
       ·                 ──────┬─────
       ·                       ╰── this module
       ╰────
      help: did you mean `shop.orders`?
    "#);
}

#[test]
fn a_module_in_a_folder_of_the_path_that_is_not_there() {
    let sandbox =
        Sandbox::with_manifest("[python]\npath = [\"src\"]\nmodules = [\"ab\"]\n").file("src/xyz.py", "");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × there is no module `ab`
       ╭─[services.toml:3:12]
     2 │ path = ["src"]
     3 │ modules = ["ab"]
       ·            ──┬─
       ·              ╰── this module
       ╰────
      help: check its name, and the folders in `path` of [python]
    "#);
}

#[test]
fn a_module_that_raises() {
    let sandbox = Sandbox::with_modules("\"a\"")
        .file("a.py", "import settings\n")
        .file("settings.py", "def read(name):\n    return {}[name]\n\nPORT = read('PORT')\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/settings.py:2)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 1, in <module>
        import settings
      File "[ROOT]/settings.py", line 4, in <module>
        PORT = read('PORT')
      File "[ROOT]/settings.py", line 2, in read
        return {}[name]
    KeyError: 'PORT'

    help: the traceback above is the module's own: correct it there
    "#);
    assert_eq!(sandbox.run(&["up", "--wait"]), sandbox.run(&["up"]));
}

#[test]
fn a_module_with_a_syntax_error() {
    assert_output!(Sandbox::with_modules("\"a\"").file("a.py", "x = 1\ndef f(:\n    pass\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:2)

      File "[ROOT]/a.py", line 2
        def f(:
    SyntaxError: invalid syntax

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn a_package_that_is_not_installed() {
    assert_output!(Sandbox::with_modules("\"a\"").file("a.py", "\nimport no_such_package\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:2)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 2, in <module>
        import no_such_package
    ModuleNotFoundError: No module named 'no_such_package'

    help: packages that the modules need are listed in a file that `requirements` in [python] names; msx installs them
    "#);
}

#[test]
fn a_module_that_ends_the_process() {
    assert_output!(Sandbox::with_modules("\"a\"").file("a.py", "import sys\nsys.exit(3)\n"), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:2)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 2, in <module>
        sys.exit(3)
    SystemExit: 3

    help: the traceback above is the module's own: correct it there
    "#);
    assert_output!(Sandbox::with_modules("\"a\"").file("a.py", "import os\nprint('bye', flush=True)\nos._exit(3)\n"), ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: the process that imports `a` ended early, with exit status 3

    bye

    help: a module must neither end nor crash the process when it is imported
    ");
}

#[test]
fn two_modules_fail_at_once() {
    let sandbox = Sandbox::with_modules("\"a\", \"b\", \"c\"")
        .file("a.py", "1 / 0\n")
        .file("b.py", "x = [1\n")
        .file("c.py", SERVICE);
    assert_output!(sandbox, ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:1) and `b` ([ROOT]/b.py:1)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 1, in <module>
        1 / 0
    ZeroDivisionError: division by zero

      File "[ROOT]/b.py", line 1
        x = [1
    SyntaxError: '[' was never closed

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn a_missing_and_a_failing_module() {
    assert_output!(Sandbox::with_modules("\"a\", \"b\"").file("a.py", "1 / 0\n"), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × there is no module `b`
       ╭─[services.toml:2:17]
     1 │ [python]
     2 │ modules = ["a", "b"]
       ·                 ─┬─
       ·                  ╰── this module
       ╰────
      help: name the folder it is in: `path = ["…"]` in [python], relative to the manifest

    cannot import `a` ([ROOT]/a.py:1)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 1, in <module>
        1 / 0
    ZeroDivisionError: division by zero
    "#);
}

#[test]
fn modules_without_services() {
    let sandbox =
        Sandbox::with_modules("\"a\", \"b\"").file("a.py", SERVICE).file("b.py", "def b():\n    pass\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    preparing: looking for services
    error: the manifest cannot be used

      × the module `b` defines no service
       ╭─[services.toml:2:17]
     1 │ [python]
     2 │ modules = ["a", "b"]
       ·                 ─┬─
       ·                  ╰── this module
       ╰────
      help: put `@microservice` above a function in it, or name the module that defines the services
    "#);
}

#[test]
fn a_module_that_calls_a_service_while_it_is_imported() {
    let text = "from msx import microservice\n\n@microservice\ndef a(x):\n    return x\n\nprint(a(1))\n";
    assert_output!(Sandbox::with_modules("\"a\"").file("a.py", text), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot import `a` ([ROOT]/a.py:7)

    Traceback (most recent call last):
      File "[ROOT]/a.py", line 7, in <module>
        print(a(1))
    msx.NoCallContext: a service was called while its module was imported or its hooks ran, where there is no call that could wait for it; move it into the function of a service, or call the plain function with .local(…)

    help: the traceback above is the module's own: correct it there
    "#);
}

#[test]
fn a_file_with_the_name_of_a_module_of_pythons_own() {
    let own = |name: &str| {
        Sandbox::with_manifest("[python]\npath = [\"src\"]\nmodules = [\"a\"]\n")
            .file("src/a.py", SERVICE)
            .file(name, "x = 1\n")
    };
    let mut settings = insta::Settings::clone_current();
    // The words of Python are different in each of its versions.
    settings.add_filter(r"(?s)stands in front of it\n.*\nhelp", "stands in front of it\n[TRACEBACK]\nhelp");
    let _settings = settings.bind_to_scope();
    assert_output!(own("src/socket.py"), ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: the modules cannot be imported: `[ROOT]/src/socket.py` has the name of a module that Python itself needs, and stands in front of it
    [TRACEBACK]
    help: give it another name
    ");
    assert_output!(own("socket/__init__.py"), ["config"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the modules cannot be imported: `[ROOT]/socket/__init__.py` has the name of a module that Python itself needs, and stands in front of it
    [TRACEBACK]
    help: give it another name
    ");
}
