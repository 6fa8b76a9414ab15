//! `msx config`: the manifest as it counts, each value with where it comes from. As TOML it is a manifest again,
//! but for secrets.

use serde_json::{Map, Value as Json, json};

use super::manifest::Manifest;
use super::place::Place;
use super::schema::{Service, ServiceLayer};
use super::section::{Key, State};
use super::service::{Resolved, Runs};
use super::value::Line;
use crate::model::WorkerKind;

/// TOML, with the place of each value in a comment. Without services (Python is not ready), what the manifest
/// says of them is shown as it was written. Values of variables that look like secrets are shown as `***`.
pub fn toml(manifest: &Manifest, services: Option<&[Resolved]>) -> String {
    let sections = sections(manifest, services);
    let sections = sections.iter().filter(|section| !section.lines.is_empty());
    sections.map(Section::toml).collect::<Vec<_>>().join("\n")
}

/// The same as JSON: `{"services": {"a.a": {"threads": {"value": 2, "from": "default"}}}}`.
pub fn json(manifest: &Manifest, services: Option<&[Resolved]>) -> Json {
    let mut root = Json::Object(Map::new());
    for section in sections(manifest, services) {
        for line in section.lines {
            let path = section.header.iter().chain(&line.path);
            // Indexing makes the objects on the way.
            let place = path.fold(&mut root, |object, key| &mut object[key.as_str()]);
            *place = json!({ "value": line.value, "from": line.place.to_string() });
        }
    }
    root
}

struct Section {
    header: Vec<String>,
    lines: Vec<Line>,
}

fn sections(manifest: &Manifest, services: Option<&[Resolved]>) -> Vec<Section> {
    let section = |header: &[&str], lines| Section {
        header: header.iter().map(|&key| key.to_owned()).collect(),
        lines,
    };
    let mut sections = vec![
        section(&["project"], manifest.project.lines()),
        section(&["python"], manifest.python.lines()),
        section(&["node"], manifest.node.lines()),
        section(&["gateway"], manifest.gateway.lines()),
    ];
    let Some(services) = services else {
        sections.push(section(&["defaults"], written(&manifest.defaults)));
        for service in &manifest.services {
            sections.push(section(&["services", &service.name], written(&service.layer)));
        }
        return sections;
    };
    for service in services {
        sections.push(section(&["services", service.name.as_str()], settings(service)));
    }
    sections
}

/// What one section says, without msx's defaults.
fn written(layer: &ServiceLayer) -> Vec<Line> {
    let mut lines = Service::lay(&[layer]).lines();
    lines.retain(|line| !matches!(line.place, Place::Default));
    lines
}

/// The settings of a service without those that are not for its kind.
fn settings(service: &Resolved) -> Vec<Line> {
    let is_other = |line: &Line| match service.runs {
        Runs::Function { kind: WorkerKind::Def, .. } => {
            line.path == ["concurrency"] || of_kind(line, is_of_command)
        }
        Runs::Function { kind: WorkerKind::Async, .. } => {
            line.path == ["threads"] || of_kind(line, is_of_command)
        }
        Runs::Command(_) => of_kind(line, |state| matches!(state, State::Function(_) | State::OfFunction(_))),
    };
    let mut lines = service.settings.lines();
    lines.retain(|line| !is_other(line));
    lines
}

fn is_of_command(state: State) -> bool {
    matches!(state, State::OfCommand(_))
}

/// Whether the setting is one for such services.
fn of_kind(line: &Line, is: impl Fn(State) -> bool) -> bool {
    let path = line.path.join(".");
    let key = |key: &&Key| key.path == path || key.path == line.path[0];
    ServiceLayer::KEYS.iter().find(key).is_some_and(|key| is(key.state))
}

impl Section {
    fn toml(&self) -> String {
        let settings: Vec<String> =
            self.lines.iter().map(|line| format!("{} = {}", dotted(&line.path), line.value)).collect();
        let width =
            settings.iter().map(|setting| setting.chars().count()).max().unwrap_or(0).min(COMMENT_COLUMN_MAX);
        let mut text = format!("[{}]\n", dotted(&self.header));
        for (setting, line) in settings.iter().zip(&self.lines) {
            text.push_str(&format!("{setting:<width$}  # {}\n", line.place));
        }
        text
    }
}

/// Comments of a section stand in one column, but for those of longer lines.
const COMMENT_COLUMN_MAX: usize = 40;

fn dotted(path: &[String]) -> String {
    path.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(".")
}

/// A key as TOML wants it: bare if it can be, else in quotes, where JSON and TOML agree.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { Json::from(key).to_string() }
}
