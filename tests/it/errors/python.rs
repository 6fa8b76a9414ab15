//! A Python that cannot be used, and packages that cannot be installed.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::hub::{Hub, marked, wait_for};
use crate::support::{Sandbox, assert_output};

/// A project in whose PATH there is nothing but its own `bin/`.
fn alone(python: &str) -> Sandbox {
    let manifest = format!("[python]\nmodules = [\"a\"]\n{python}");
    let sandbox = Sandbox::with_manifest(&manifest)
        .file("a.py", "from msx import microservice\n\n@microservice\ndef a():\n    pass\n")
        .file("bin/keep", "");
    let path = sandbox.path("bin").display().to_string();
    sandbox.env("PATH", &path)
}

/// A program that answers as an interpreter of this version without pip does.
fn fake_python(sandbox: &Sandbox, path: &str, minor: u32) {
    let probe = json!({
        "version": [3, minor, 10], "executable": sandbox.path(path), "soabi": format!("cpython-3{minor}-fake-linux-gnu"),
        "platform": "linux-fake", "in_venv": false, "has_pip": false, "has_venv": false, "sites": [], "msgspec": null,
    });
    sandbox.program(path, &format!("#!/bin/sh\necho '{probe}'\n"));
}

/// The interpreter itself, and not what `python3` on PATH may be.
fn real_python(sandbox: &Sandbox, path: &str) {
    let command =
        std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let executable = String::from_utf8(command.unwrap().stdout).unwrap();
    symlink(executable.trim(), sandbox.path(path)).unwrap();
}

/// How to install something depends on the distribution.
fn on_any_distribution() -> insta::internals::SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    let commands = r"`(apt|dnf|zypper) install [^`]+`|`(apk add|pacman -S) [^`]+`|from python.org or your distribution|from your distribution";
    settings.add_filter(commands, "[HOW]");
    settings.bind_to_scope()
}

#[test]
fn no_python() {
    let _settings = on_any_distribution();
    assert_output!(alone(""), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: no Python was found: services.toml names none, there is no active virtual environment and no .venv, and no `python3` on PATH
    help: install Python 3.10 or later ([HOW]), or name one in services.toml: `[python] interpreter = "/path/to/python3"`
    "#);
}

#[test]
fn a_python_that_is_too_old() {
    let sandbox = alone("");
    fake_python(&sandbox, "bin/python3", 8);
    assert_output!(sandbox, ["up", "-d"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: msx needs Python 3.10 or later, but `[ROOT]/bin/python3` (from PATH) is Python 3.8.10
    help: install a newer one and name it in services.toml: `[python] interpreter = "/path/to/python3"`
    "#);
    fake_python(&sandbox, "bin/python3.12", 12);
    assert_output!(sandbox, ["config"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: msx needs Python 3.10 or later, but `[ROOT]/bin/python3` (from PATH) is Python 3.8.10
    help: `python3.12` is on PATH: set `[python] interpreter = "python3.12"` in services.toml
    "#);
    sandbox.edit("services.toml", "[python]", "[python]\ninterpreter = \"python3\"");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × msx needs Python 3.10 or later, but `[ROOT]/bin/python3` (from services.toml) is
      │ Python 3.8.10
       ╭─[services.toml:2:1]
     1 │ [python]
     2 │ interpreter = "python3"
       · ─────┬─────
       ·      ╰── this interpreter
     3 │ modules = ["a"]
       ╰────
      help: `python3.12` is on PATH: set `[python] interpreter = "python3.12"` in services.toml
    "#);
}

#[test]
fn an_interpreter_that_is_not_there() {
    assert_output!(alone("interpreter = \"python3.13\"\n"), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × `[python] interpreter` in services.toml is `python3.13`, and no such command is on PATH
       ╭─[services.toml:3:1]
     2 │ modules = ["a"]
     3 │ interpreter = "python3.13"
       · ─────┬─────
       ·      ╰── this interpreter
       ╰────
      help: install it, or give the path of another one
    "#);
    assert_output!(alone("interpreter = \".venv/bin/python\"\n"), ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × `[python] interpreter` in services.toml is `.venv/bin/python`, but `[ROOT]/.venv/
      │ bin/python` does not exist
       ╭─[services.toml:3:1]
     2 │ modules = ["a"]
     3 │ interpreter = ".venv/bin/python"
       · ─────┬─────
       ·      ╰── this interpreter
       ╰────
      help: create it (`python3 -m venv [ROOT]/.venv`), or name another one
    "#);
    let sandbox = alone("interpreter = \"./a.py\"\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × `[python] interpreter` in services.toml is `./a.py`, but `[ROOT]/./a.py` is not an
      │ executable file
       ╭─[services.toml:3:1]
     2 │ modules = ["a"]
     3 │ interpreter = "./a.py"
       · ─────┬─────
       ·      ╰── this interpreter
       ╰────
      help: name another one, or remove the line to let msx choose
    "#);
}

#[test]
fn a_program_that_is_no_python() {
    let sandbox = alone("interpreter = \"bin/sh\"\n");
    sandbox.program("bin/sh", "#!/bin/sh\necho 'sh: unknown option' >&2\nexit 4\n");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × `[ROOT]/bin/sh` (from services.toml) does not answer as a Python interpreter does:
      │ it ended with exit status 4
       ╭─[services.toml:3:1]
     2 │ modules = ["a"]
     3 │ interpreter = "bin/sh"
       · ─────┬─────
       ·      ╰── this interpreter
       ╰────
      help: repair it, or name another one in services.toml: `[python] interpreter = "/path/to/
            python3"`

    sh: unknown option
    "#);
}

#[test]
fn a_virtual_environment_that_is_gone() {
    let sandbox = alone("");
    let venv = sandbox.path("gone").display().to_string();
    assert_output!(sandbox.env("VIRTUAL_ENV", &venv), ["up"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: the virtual environment `[ROOT]/gone` ($VIRTUAL_ENV) has no working `bin/python`
    help: leave it (`deactivate`), or create it anew (`python3 -m venv --clear "$VIRTUAL_ENV"`)
    "#);
}

#[test]
fn neither_uv_nor_pip() {
    let _settings = on_any_distribution();
    let sandbox = alone("");
    fake_python(&sandbox, "bin/python3", 11);
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: could not install the packages that msx needs: `[ROOT]/bin/python3` has no pip, and uv is not on PATH
    help: install pip ([HOW]) or uv
    ");
}

#[test]
fn a_package_that_cannot_be_had() {
    let sandbox = alone("requirements = \"requirements.txt\"\n")
        .file("requirements.txt", "--no-index\nno-such-package-anywhere == 1.0\n");
    real_python(&sandbox, "bin/python3");
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    preparing: the packages of requirements.txt
    error: could not install the packages of requirements.txt: pip ended with exit status 1

    ERROR: Could not find a version that satisfies the requirement no-such-package-anywhere==1.0 (from versions: none)
    ERROR: No matching distribution found for no-such-package-anywhere==1.0

    help: correct requirements.txt; the installer's own words say what failed
    ");
}

#[test]
fn a_requirements_file_that_is_not_there() {
    let sandbox = alone("requirements = \"requirement.txt\"\n");
    fake_python(&sandbox, "bin/python3", 11);
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × could not read `[ROOT]/requirement.txt`, which `[python] requirements` in
      │ services.toml names: No such file or directory (os error 2)
       ╭─[services.toml:3:1]
     2 │ modules = ["a"]
     3 │ requirements = "requirement.txt"
       · ──────┬─────
       ·       ╰── this file
       ╰────
      help: correct the name, or create the file
    "#);
    let sandbox = sandbox.file("pyproject.toml", "[tool.x]\n");
    sandbox.edit("services.toml", "requirement.txt", "pyproject.toml");
    assert_output!(sandbox, ["up"], @r#"
    exit: 2
    --- stdout
    --- stderr
    error: the manifest cannot be used

      × pyproject.toml has no [project] table, where its dependencies would be
       ╭─[services.toml:3:1]
     2 │ modules = ["a"]
     3 │ requirements = "pyproject.toml"
       · ──────┬─────
       ·       ╰── this file
       ╰────
      help: add the table with a list `dependencies`, or name a requirements.txt instead
    "#);
}

#[test]
fn no_folder_for_the_cache() {
    let sandbox = alone("").env("XDG_CACHE_HOME", "").env("HOME", "");
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot find the cache folder: neither XDG_CACHE_HOME nor HOME is set
    help: set XDG_CACHE_HOME to a folder where msx may keep what it downloads
    ");
    let sandbox = alone("").file("cache", "");
    let cache = sandbox.path("cache").display().to_string();
    fake_python(&sandbox, "bin/python3", 11);
    assert_output!(sandbox.env("XDG_CACHE_HOME", &cache), ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: could not create the folder `[ROOT]/cache/msx/sdk`: Not a directory (os error 20)
    help: a part of this path is a file: remove it; XDG_CACHE_HOME moves the cache of msx elsewhere
    ");
}

/// uv that never gets anywhere.
fn stuck_installer() -> Sandbox {
    let sandbox = alone("requirements = \"requirements.txt\"\n").file("requirements.txt", "flask\n");
    real_python(&sandbox, "bin/python3");
    let mark = sandbox.path("begun").display().to_string();
    sandbox.program("bin/uv", &format!("#!/bin/sh\n: > {mark}\nexec /bin/sleep 1000\n"));
    sandbox
}

#[test]
fn a_start_that_is_interrupted() {
    let sandbox = stuck_installer();
    let up = sandbox.start(&["up"]);
    wait_for("the installer", || sandbox.path("begun").exists().then_some(()));
    up.interrupt();
    insta::assert_debug_snapshot!(up.end(), @r#"
    (
        Some(
            130,
        ),
        "",
        "stopped while starting\n",
    )
    "#);
    assert!(marked(&sandbox.root()).is_empty());
}

#[test]
fn a_start_in_the_background_that_is_interrupted() {
    let sandbox = stuck_installer();
    let _hub = Hub { sandbox: &sandbox };
    let up = sandbox.start(&["up", "-d"]);
    wait_for("the installer", || sandbox.path("begun").exists().then_some(()));
    assert_output!(sandbox, ["call", "a"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the hub is starting
    help: try again in a moment
    ");
    up.interrupt();
    insta::assert_debug_snapshot!(up.end(), @r#"
    (
        Some(
            130,
        ),
        "",
        "interrupted: the hub goes on starting; `msx down` ends it\n",
    )
    "#);
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: a hub is already running for [ROOT] (pid [PID])
    help: `msx ps` shows its services, `msx restart` restarts them, `msx down` ends it
    ");
    assert_output!(sandbox, ["down"], @r"
    exit: 0
    --- stdout
    --- stderr
    stopped [ROOT]
    ");
    assert!(marked(&sandbox.root()).is_empty());
}
