//! What tests install for themselves: made once, and kept in the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of this name, made anew when what it is made for is no longer this.
pub fn kept(name: &str, made_for: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tmp.join(name);
    let lock = File::create(tmp.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let mark = folder.join("made-for");
    if !fs::read_to_string(&mark).is_ok_and(|made| made == made_for) {
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        make(&folder);
        fs::write(mark, made_for).unwrap();
    }
    folder
}

/// A virtual environment with these packages.
pub fn venv(name: &str, packages: &[&str]) -> PathBuf {
    kept(name, &packages.join("\n"), |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(pip_install(folder).args(packages));
    })
}

/// `pip install`, of this environment.
pub fn pip_install(venv: &Path) -> Command {
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip
}

/// Runs a program that must succeed. Answers what it printed to stdout.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", shown(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
