//! The structure that ARCHITECTURE.md promises, held by reading the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the lowest floor to the highest; a room imports from lower floors only.
const FLOORS: [(&str, u8); 23] = [
    ("sys", 0),
    ("model", 0),
    ("failure", 2),
    ("project", 3),
    ("config", 1),
    ("protocol", 1),
    ("registry", 2),
    ("events", 2),
    ("guard", 2),
    ("runtime", 2),
    ("python", 3),
    ("node", 3),
    ("balancer", 3),
    ("supervisor", 3),
    ("worker", 3),
    ("calls", 4),
    ("autoscaler", 4),
    ("core", 5),
    ("shard", 6),
    ("gateway", 7),
    ("control", 7),
    ("daemon", 8),
    ("cli", 9),
];

/// Rooms without IO and clock: they are driven by others and tested with simulated time.
const PURE: [&str; 6] =
    ["src/model.rs", "src/config", "src/protocol", "src/balancer", "src/calls", "src/core"];

/// What a pure file must not name outside its tests.
const IMPURE: [&str; 6] = ["tokio::", "std::fs", "std::process", "TcpStream", "UnixStream", "Instant::now"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file with its path below the repository, without what follows its tests.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => found.push((shown(&path), fs::read_to_string(&path).unwrap())),
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found.into_iter().filter(|(path, _)| path.ends_with(".rs") && !is_test(path)).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.ends_with("/simulation.rs")
        || path.contains("/simulation/")
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

fn room_of(path: &str) -> &str {
    let inner = path.strip_prefix("src/").unwrap();
    inner.split(['/', '.']).next().unwrap()
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

#[test]
fn rooms_import_from_lower_floors_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room_of(&path);
        let Some(own) = floor(room) else {
            assert_eq!(room, "main", "{path} is in no room: add it to FLOORS");
            continue;
        };
        for (line, imported) in imports(without_tests(&text)) {
            let is_allowed = imported == room || floor(&imported).is_some_and(|floor| floor < own);
            if !is_allowed {
                wrong.push(format!("{path}:{line}: {room} (floor {own}) uses {imported}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rooms that a text names as `crate::ROOM`, with line numbers.
fn imports(text: &str) -> Vec<(usize, String)> {
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for (at, line) in code {
        for after in line.split("crate::").skip(1) {
            let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((at + 1, name));
        }
    }
    found
}

#[test]
fn pure_rooms_name_no_io_and_no_clock() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if !PURE.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        for (at, line) in without_tests(&text).lines().enumerate() {
            let is_code = !line.trim_start().starts_with("//");
            for name in IMPURE.iter().filter(|name| is_code && line.contains(**name)) {
                wrong.push(format!("{path}:{}: {name}", at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is() {
    let silent: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "no `//!` at the top of {silent:?}");
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let wrong: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| path != "src/sys.rs" && text.contains("unsafe {"))
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "unsafe outside src/sys.rs: {wrong:?}");
}

#[test]
fn files_stay_readable() {
    let long: BTreeMap<String, usize> = sources()
        .into_iter()
        .map(|(path, text)| (path, without_tests(&text).lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .collect();
    assert!(long.is_empty(), "longer than 500 lines before their tests: {long:?}");
}
