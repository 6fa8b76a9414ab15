//! A Python that cannot be used, and packages that cannot be installed.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

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
    program(sandbox, path, &format!("#!/bin/sh\necho '{probe}'\n"));
}

fn program(sandbox: &Sandbox, path: &str, script: &str) {
    let path = sandbox.path(path);
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
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
    assert_output!(alone(""), ["up"], @"");
}

#[test]
fn a_python_that_is_too_old() {
    let sandbox = alone("");
    fake_python(&sandbox, "bin/python3", 8);
    assert_output!(sandbox, ["up", "-d"], @"");
    fake_python(&sandbox, "bin/python3.12", 12);
    assert_output!(sandbox, ["config"], @"");
    sandbox.edit("services.toml", "[python]", "[python]\ninterpreter = \"python3\"");
    assert_output!(sandbox, ["up"], @"");
}

#[test]
fn an_interpreter_that_is_not_there() {
    assert_output!(alone("interpreter = \"python3.13\"\n"), ["up"], @"");
    assert_output!(alone("interpreter = \".venv/bin/python\"\n"), ["up"], @"");
    assert_output!(alone("interpreter = \"services.toml\"\n").file("services", ""), ["up"], @"");
    let sandbox = alone("interpreter = \"./a.py\"\n");
    assert_output!(sandbox, ["up"], @"");
}

#[test]
fn a_program_that_is_no_python() {
    let sandbox = alone("interpreter = \"bin/sh\"\n");
    program(&sandbox, "bin/sh", "#!/bin/sh\necho 'sh: unknown option' >&2\nexit 4\n");
    assert_output!(sandbox, ["up"], @"");
}

#[test]
fn a_virtual_environment_that_is_gone() {
    let sandbox = alone("");
    let venv = sandbox.path("gone").display().to_string();
    assert_output!(sandbox.env("VIRTUAL_ENV", &venv), ["up"], @"");
}

#[test]
fn neither_uv_nor_pip() {
    let _settings = on_any_distribution();
    let sandbox = alone("");
    fake_python(&sandbox, "bin/python3", 11);
    assert_output!(sandbox, ["up"], @"");
}

#[test]
fn a_package_that_cannot_be_had() {
    let sandbox = alone("requirements = \"requirements.txt\"\n")
        .file("requirements.txt", "--no-index\nno-such-package-anywhere == 1.0\n");
    real_python(&sandbox, "bin/python3");
    assert_output!(sandbox, ["up"], @"");
}

#[test]
fn a_requirements_file_that_is_not_there() {
    let sandbox = alone("requirements = \"requirement.txt\"\n");
    fake_python(&sandbox, "bin/python3", 11);
    assert_output!(sandbox, ["up"], @"");
    let sandbox = sandbox.file("pyproject.toml", "[tool.x]\n");
    sandbox.edit("services.toml", "requirement.txt", "pyproject.toml");
    assert_output!(sandbox, ["up"], @"");
}

#[test]
fn no_folder_for_the_cache() {
    let sandbox = alone("").env("XDG_CACHE_HOME", "").env("HOME", "");
    assert_output!(sandbox, ["up"], @"");
    let sandbox = alone("").file("cache", "");
    let cache = sandbox.path("cache").display().to_string();
    fake_python(&sandbox, "bin/python3", 11);
    assert_output!(sandbox.env("XDG_CACHE_HOME", &cache), ["up"], @"");
}
