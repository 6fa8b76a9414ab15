//! Tests of the manifest room through its API: texts in, reports and specs out.

mod batches;
mod commands;
mod errors;
mod fuzz;
mod layers;
mod msx_config;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::*;
use crate::model::{Language, ServiceName, WorkerKind};

/// The text without its first line break and without the indentation it has in the test.
fn dedent(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let depth = |line: &str| line.len() - line.trim_start().len();
    let indent = text.lines().filter(|line| !line.trim().is_empty()).map(depth).min().unwrap_or(0);
    text.lines().map(|line| format!("{}\n", line.get(indent..).unwrap_or_default())).collect()
}

fn parse_text(text: &str) -> Result<Manifest, Diagnostics> {
    parse(&[Source { name: "services.toml", text: &dedent(text) }])
}

/// A `def` service, found in a file named like its module at line 5.
fn def(name: &str) -> Found {
    found(name, WorkerKind::Def, json!({}))
}

fn async_def(name: &str) -> Found {
    found(name, WorkerKind::Async, json!({}))
}

fn found(name: &str, kind: WorkerKind, options: serde_json::Value) -> Found {
    let module = name.rsplit_once('.').map_or(name, |(module, _)| module).to_owned();
    let options = options.as_object().cloned().unwrap_or_default();
    let file = format!("/project/{}.py", module.replace('.', "/"));
    Found { name: ServiceName::new(name), language: Language::Python, module, kind, options, file, line: 5 }
}

fn base() -> PathBuf {
    PathBuf::from("/project")
}

fn no_files(_: &Path) -> io::Result<String> {
    Err(io::Error::from(io::ErrorKind::NotFound))
}

/// The reports that a manifest gets before the services are known, or from those that were found.
fn errors(text: &str) -> String {
    errors_with(text, None)
}

fn errors_with(text: &str, found: Option<&[Found]>) -> String {
    let resolved = parse_text(text).and_then(|manifest| match found {
        Some(found) => manifest.resolve(found, &base(), &no_files).map(drop),
        None => Ok(()),
    });
    resolved.map_or_else(|problems| problems.render(false, 100), |()| "no error".to_owned())
}
