//! The types of the SDK for Node.js, read by TypeScript's own compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::{from_wheel, node};
use crate::support::tools::{kept, run};

/// From npm.
const COMPILER: &str = "typescript@5.9";
/// `nodenext` finds the package by its `package.json`, as in a user's project.
const OPTIONS: [&str; 8] =
    ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom"];

#[test]
fn the_types_are_as_they_are_meant() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/node");
    run(Command::new(node()).arg(compiler()).args(OPTIONS).arg("tests/typed.ts").current_dir(sdk));
}

/// `tsc`, kept in the target folder.
fn compiler() -> PathBuf {
    let folder = kept("typescript", COMPILER, |folder| {
        run(npm().args(["install", "--no-fund", "--no-audit", "--prefix"]).arg(folder).arg(COMPILER));
    });
    folder.join("node_modules/typescript/bin/tsc")
}

/// That on PATH, else the one that comes with the wheel of Node.js.
fn npm() -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("npm")).find(|npm| npm.exists());
    on_path.map_or_else(npm_of_wheel, Command::new)
}

fn npm_of_wheel() -> Command {
    let node = from_wheel();
    let mut npm = Command::new(&node);
    npm.arg(node.ancestors().nth(2).unwrap().join("lib/node_modules/npm/bin/npm-cli.js"));
    npm
}
