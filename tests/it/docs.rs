//! What README and the guides show is what happens: each page is followed as a reader would, in a sandbox.
//!
//! - A block ```` ```python file=shop.py ```` is written to that file, in the order of the page. In a sandbox that has
//!   the file from elsewhere it must be the same.
//! - In a block ```` ```console ```` each line that starts with `$ ` is run, see `docs/console.rs`; the lines below it are
//!   what it must print. `…` stands for anything: alone for any lines, inside of a line for any text.
//! - A command without shown output must succeed. ```` ```console eventually ```` is tried until it prints what is shown.
//!
//! Other blocks are not looked at.

mod blocks;
mod console;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::Sandbox;
use crate::support::hub::{BOUND, Hub};
use blocks::{Block, Command};
use console::Console;

/// The guides. Beside them stand documents without examples for a shell.
const GUIDES: &[&str] = &[
    "autoscaling",
    "batches",
    "calls",
    "connect",
    "gateway",
    "getting-started",
    "manifest",
    "node",
    "options",
    "replay",
    "running",
    "seeing-calls",
    "services",
    "streams",
    "supervision",
    "testing",
    "values",
];
const REFERENCES: [&str; 3] = ["autoscaling-simulated", "performance", "protocol"];

#[test]
fn readme() {
    follow(&Sandbox::demo(), "README.md");
}

#[test]
fn autoscaling() {
    follow(&Sandbox::new(), "docs/autoscaling.md");
}

#[test]
fn batches() {
    follow(&Sandbox::new(), "docs/batches.md");
}

#[test]
fn calls() {
    follow(&Sandbox::new(), "docs/calls.md");
}

#[test]
fn connect() {
    follow(&Sandbox::new(), "docs/connect.md");
}

#[test]
fn streams() {
    follow(&Sandbox::new(), "docs/streams.md");
}

#[test]
fn gateway() {
    follow(&Sandbox::new(), "docs/gateway.md");
}

#[test]
fn getting_started() {
    follow(&Sandbox::new(), "docs/getting-started.md");
}

#[test]
fn manifest() {
    follow(&Sandbox::new(), "docs/manifest.md");
}

/// The page shows the example.
#[test]
fn node() {
    let example = |file: &str| fs::read_to_string(repository().join("examples/mixed").join(file)).unwrap();
    let files = ["services.toml", "orders.py", "services/prices.mjs"];
    let sandbox = files.iter().fold(Sandbox::new(), |sandbox, file| sandbox.file(file, &example(file)));
    follow(&crate::node::with_node(sandbox), "docs/node.md");
}

#[test]
fn options() {
    follow(&Sandbox::new(), "docs/options.md");
}

#[test]
fn replay() {
    follow(&Sandbox::new(), "docs/replay.md");
}

#[test]
fn running() {
    follow(&Sandbox::new(), "docs/running.md");
}

#[test]
fn seeing_calls() {
    follow(&Sandbox::new(), "docs/seeing-calls.md");
}

#[test]
fn services() {
    follow(&Sandbox::new(), "docs/services.md");
}

#[test]
fn supervision() {
    follow(&Sandbox::new(), "docs/supervision.md");
}

/// With the libraries that the page speaks of.
#[test]
fn values() {
    let python = crate::sdk::environment();
    follow(&Sandbox::new().env("VIRTUAL_ENV", python.to_str().unwrap()), "docs/values.md");
}

#[test]
fn testing() {
    follow(&Sandbox::new(), "docs/testing.md");
}

#[test]
fn every_guide_is_followed() {
    let pages = fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let found: BTreeSet<String> =
        pages.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let known: BTreeSet<String> = GUIDES.iter().chain(&REFERENCES).map(|name| (*name).to_owned()).collect();
    let unknown: Vec<&String> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "no test follows {unknown:?}");
    assert!(GUIDES.iter().all(|guide| found.contains(*guide)), "a guide is missing: {found:?}");
}

#[test]
fn links_lead_somewhere() {
    let pages = GUIDES.iter().chain(&REFERENCES).map(|guide| PathBuf::from(format!("docs/{guide}.md")));
    let pages = pages.chain(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from));
    for page in pages {
        let text = fs::read_to_string(repository().join(&page)).unwrap();
        for target in blocks::links(&text) {
            let folder = repository().join(&page).parent().unwrap().to_owned();
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { repository().join(&page) } else { folder.join(file) };
            assert!(file.exists(), "{} links to {target}", page.display());
            let headings = || blocks::headings(&fs::read_to_string(&file).unwrap());
            assert!(
                heading.is_empty() || headings().contains(heading),
                "{} links to {target}, a heading that is not there",
                page.display()
            );
        }
    }
}

#[test]
fn architecture_names_what_is_there() {
    let folders = ["src", "sdk/python/src", "sdk/python/tests", "sdk/node/src", "tests/it"];
    let files: Vec<PathBuf> =
        folders.iter().flat_map(|folder| files_below(&repository().join(folder))).collect();
    let source: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    for name in blocks::words_of_code(&text) {
        let is_file = [".rs", ".py", ".mjs"].iter().any(|ending| name.ends_with(ending));
        let is_there = match is_file {
            true => files.iter().any(|file| file.ends_with(&name)),
            false => source.contains(name.rsplit("::").next().unwrap()),
        };
        assert!(is_there, "ARCHITECTURE.md speaks of `{name}`");
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let sources = files
        .into_iter()
        .filter(|file| file.extension().is_some_and(|kind| kind == "rs" || kind == "py" || kind == "mjs"));
    sources.chain(folders.iter().flat_map(|folder| files_below(folder))).collect()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Does what the page says, from top to bottom.
fn follow(sandbox: &Sandbox, page: &str) {
    let text = fs::read_to_string(repository().join(page)).unwrap();
    // A project of its own without a manifest, too, whatever is in the folders above.
    fs::create_dir_all(sandbox.path(".msx")).unwrap();
    // Ends the hub of the page, and looks for what it left.
    let _hub = Hub { sandbox };
    let mut console = Console::new(sandbox);
    let (mut written, mut commands) = (BTreeSet::new(), 0);
    for block in blocks::blocks(&text) {
        match block {
            Block::File { path, text } => write(sandbox, &path, &text, &mut written),
            Block::Console { eventually, commands: shown } => {
                commands += shown.len();
                shown.iter().for_each(|command| check(&mut console, page, command, eventually));
            }
        }
    }
    assert!(commands > 0, "{page} runs no example");
}

/// A file that was there before the page began is quoted by it.
fn write(sandbox: &Sandbox, path: &str, text: &str, written: &mut BTreeSet<String>) {
    let file = sandbox.path(path);
    if file.exists() && !written.contains(path) {
        return assert_eq!(fs::read_to_string(&file).unwrap(), text, "{path} is not as shown");
    }
    written.insert(path.to_owned());
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn check(console: &mut Console<'_>, page: &str, command: &Command, eventually: bool) {
    let deadline = Instant::now() + BOUND;
    loop {
        let printed = console.run(&command.line);
        let is_as_shown = match command.shown.is_empty() {
            true => printed.succeeded,
            false => blocks::matches(&command.shown, &printed.text),
        };
        if is_as_shown {
            return;
        }
        assert!(
            eventually && Instant::now() < deadline,
            "{page}, line {}: `{}` printed\n{}\nbut the page shows\n{}",
            command.at,
            command.line,
            printed.text,
            command.shown.join("\n")
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
