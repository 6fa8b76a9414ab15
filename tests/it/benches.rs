//! The benchmarks work: one short round of each. What it measures is no matter here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::support::hub::marked;
use crate::support::{Sandbox, copy};

/// Stands in for the load generator: one request, and the figures that `post.lua` prints.
const WRK: &str = r#"#!/usr/bin/env python3
import http.client, json, sys, time, urllib.parse

if sys.argv[1] == "--version":
    sys.exit("wrk stand-in [of a test]")
url = urllib.parse.urlsplit(sys.argv[-1])
began = time.monotonic()
connection = http.client.HTTPConnection(url.netloc, timeout=30)
connection.request("POST", url.path, '{"x": 1}', {"Content-Type": "application/json"})
is_error = connection.getresponse().status != 200
us = round((time.monotonic() - began) * 1e6)
print(json.dumps({"requests": 1, "duration_us": us, "p50_us": us, "p99_us": us, "errors": int(is_error)}))
"#;

/// A copy of `benches/` in the target folder, where its environment is made once. One test at a time has it.
struct Benches {
    folder: PathBuf,
    _lock: File,
}

impl Benches {
    fn copied() -> Self {
        let above = Path::new(env!("CARGO_TARGET_TMPDIR")).join("benches");
        fs::create_dir_all(&above).unwrap();
        let lock = File::create(above.join("lock")).unwrap();
        lock.lock().unwrap();
        let folder = above.join("benches");
        fs::create_dir_all(&folder).unwrap();
        for old in visible(&folder) {
            if old.is_dir() { fs::remove_dir_all(old) } else { fs::remove_file(old) }.unwrap();
        }
        for entry in visible(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches")) {
            copy(&entry, &folder.join(entry.file_name().unwrap()));
        }
        Self { folder, _lock: lock }
    }

    /// The rows of the page that a command writes.
    fn measure(&self, command: &str, args: &str) -> Vec<String> {
        let sandbox = Sandbox::new();
        sandbox.program("bin/wrk", WRK);
        let line = format!(
            "PATH={}:$PATH TMPDIR={} python3 {} {args} --rounds 1 --name test --msx $MSX",
            sandbox.path("bin").display(),
            sandbox.root().display(),
            self.folder.join(command).display(),
        );
        let output = sandbox.shell(&line).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(marked(&self.folder.join("project")).is_empty());
        let page = fs::read_to_string(self.folder.join("results/test.md")).unwrap();
        page.lines().filter(|line| line.starts_with("| ")).map(str::to_owned).collect()
    }
}

/// Without environments, which are large and name their own folder.
fn visible(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let seen = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    seen.map(|entry| entry.path()).collect()
}

#[test]
fn msx_beside_its_rivals() {
    let rows = Benches::copied().measure("run", "--seconds 1");
    let measured = |case: &str, server: &str| {
        let found =
            rows.iter().filter(|row| row.starts_with(&format!("| {case} | ")) && row.contains(server));
        // The last column counts errors.
        found.filter(|row| row.ends_with(" | 0 |")).count()
    };
    assert_eq!(rows.len(), 15, "{rows:#?}");
    for server in ["msx, 1 instance", "Flask, gunicorn", "Starlette"] {
        assert_eq!(measured("no-op", server), 2, "{server}: {rows:#?}");
    }
    for (server, connections) in [("msx, 1 instance", 2), ("Flask × 3", 6)] {
        assert_eq!(measured("chain of three", server), connections, "{server}: {rows:#?}");
    }
}

#[test]
fn what_calls_between_services_cost() {
    let rows =
        Benches::copied().measure("costs", "--no-ray --seconds 0.05 --only 'alone: one' replayed depth");
    let names = ["alone: one caller, a leaf", "not replayed: 1,000", "replayed: the same", "depth 100"];
    for name in names {
        let row = rows.iter().find(|row| row.starts_with(&format!("| {name}"))).unwrap();
        // `def` and `async def`, with the least and the most in brackets.
        assert_eq!(row.matches(" (").count(), 2, "{row}");
    }
    assert_eq!(rows.len(), 2 + names.len() * 3, "{rows:#?}");
}
