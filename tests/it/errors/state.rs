//! Folders and files of msx itself that cannot be used.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::support::hub::marked;
use crate::support::{Sandbox, assert_output};

const MANIFEST: &str = "[python]\nmodules = [\"a\"]\n\n[gateway]\nlisten = \"127.0.0.1:0\"\n";

fn project() -> Sandbox {
    let service = "from msx import microservice\n\n@microservice\ndef a():\n    pass\n";
    Sandbox::with_manifest(MANIFEST).file("a.py", service).without_privileges()
}

/// Changes the mode of a path until it is dropped, so that the sandbox can be removed.
struct Mode(std::path::PathBuf);

impl Mode {
    fn set(sandbox: &Sandbox, path: &str, mode: u32) -> Self {
        let path = sandbox.path(path);
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        Self(path)
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        std::fs::set_permissions(&self.0, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_written() {
    let sandbox = project();
    sandbox.msx(&["version"]).output().unwrap();
    let _mode = Mode::set(&sandbox, ".", 0o555);
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot create [ROOT]/.msx: Permission denied (os error 13)
    help: msx keeps its state in `.msx/` beside the manifest: check who owns the folder and may write there
    ");
    assert_output!(sandbox, ["up", "-d"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot create [ROOT]/.msx: Permission denied (os error 13)
    help: msx keeps its state in `.msx/` beside the manifest: check who owns the folder and may write there
    ");
    assert_output!(sandbox, ["config"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot create [ROOT]/.msx: Permission denied (os error 13)
    help: msx keeps its state in `.msx/` beside the manifest: check who owns the folder and may write there
    ");
}

#[test]
fn a_state_that_cannot_be_written() {
    let sandbox = project().file(".msx/logs/keep", "");
    let _mode = Mode::set(&sandbox, ".msx", 0o555);
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot write [ROOT]/.msx/.gitignore: Permission denied (os error 13)
    help: msx keeps its state in `.msx/` beside the manifest: check who owns the folder and may write there
    ");
    let _logs = Mode::set(&sandbox, ".msx", 0o755);
    let _logs = Mode::set(&sandbox, ".msx/logs", 0o555);
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    preparing: looking for services
    error: cannot keep logs in [ROOT]/.msx/logs: Permission denied (os error 13)
    help: msx keeps its state in `.msx/` beside the manifest: check who owns the folder and may write there
    ");
    assert_output!(sandbox, ["up", "-d"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: cannot open [ROOT]/.msx/logs/hub.log: Permission denied (os error 13)
    help: msx keeps its state in `.msx/` beside the manifest: check who owns the folder and may write there
    ");
    assert!(marked(&sandbox.root()).is_empty());
}

#[test]
fn a_manifest_that_cannot_be_read() {
    let sandbox = project();
    let _mode = Mode::set(&sandbox, "services.toml", 0o000);
    assert_output!(sandbox, ["up"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot read the manifest [ROOT]/services.toml: Permission denied (os error 13)
    help: check who owns the file and may read it
    ");
}

#[test]
fn a_folder_for_the_socket_that_others_can_enter() {
    let sandbox = project().file(".run/msx/keep", "");
    let _mode = Mode::set(&sandbox, ".run/msx", 0o755);
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: the control socket cannot stand in [ROOT]/.run/msx: it is not a folder that only you can enter
    help: remove it, or `chmod 700 [ROOT]/.run/msx`
    ");
}
