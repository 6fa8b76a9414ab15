//! One table of settings laid flat (`scale = { cpu = 0.8 }` → `scale.cpu`), and the verdict on keys that do not belong there.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostics, Problem};
use super::field::Field;
use super::names::suggest;
use super::place::Located;
use super::raw::{Entry, Node, Table, Value};

/// A line of the table of known keys.
#[derive(Debug)]
pub struct Key {
    /// `run_timeout`, `scale.cpu`
    pub path: &'static str,
    pub state: State,
}

/// Whether a key can be used, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Anywhere,
    /// Only in `[services.NAME]`, and why.
    OneService(&'static str),
    /// Part of the design but not built yet, and what to do instead.
    Later(&'static str),
}

impl Key {
    fn group(&self) -> Option<&'static str> {
        self.path.split_once('.').map(|(group, _)| group)
    }
}

/// Which table is being read.
#[derive(Clone, Debug, PartialEq)]
pub enum Title {
    Project,
    Python,
    Gateway,
    Defaults,
    Service(String),
    Decorator,
}

impl std::fmt::Display for Title {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Project => f.write_str("[project]"),
            Self::Python => f.write_str("[python]"),
            Self::Gateway => f.write_str("[gateway]"),
            Self::Defaults => f.write_str("[defaults]"),
            Self::Service(name) if name.contains('.') => write!(f, "[services.\"{name}\"]"),
            Self::Service(name) => write!(f, "[services.{name}]"),
            Self::Decorator => f.write_str("@microservice"),
        }
    }
}

/// The settings of one table by their paths.
pub struct Section {
    entries: BTreeMap<String, Entry>,
}

impl Section {
    /// Lays the table flat and reports every key that cannot be used here.
    pub fn open(title: &Title, table: &Table, keys: &[Key], problems: &mut Diagnostics) -> Self {
        let mut entries = BTreeMap::new();
        for (key, entry) in table {
            flatten(key, entry, keys, &mut entries, problems);
        }
        entries.retain(|path, entry| match misplaced(title, path, entry, keys) {
            Some(problem) => {
                problems.add(problem);
                false
            }
            None => true,
        });
        Self { entries }
    }

    /// The checked value of a key, if it was written.
    pub fn read<T>(
        &self,
        path: &str,
        problems: &mut Diagnostics,
        check: fn(&mut Field<'_>) -> Option<T>,
    ) -> Option<Located<T>> {
        let entry = self.entries.get(path)?;
        let value = check(&mut Field { path, node: &entry.node, problems })?;
        Some(Located::new(value, entry.key.clone()))
    }
}

fn flatten(
    key: &str,
    entry: &Entry,
    keys: &[Key],
    entries: &mut BTreeMap<String, Entry>,
    problems: &mut Diagnostics,
) {
    if !keys.iter().any(|known| known.group() == Some(key)) {
        entries.insert(key.to_owned(), entry.clone());
        return;
    }
    match &entry.node.value {
        Value::Table(table) => {
            for (inner, value) in table {
                entries.insert(format!("{key}.{inner}"), value.clone());
            }
        }
        // A number of instances is a range of one value.
        Value::Integer(_) if key == "instances" => {
            for bound in ["min", "max"] {
                entries.insert(format!("{key}.{bound}"), entry.clone());
            }
        }
        other => problems.add(not_a_group(key, &entry.node, other, keys)),
    }
}

fn not_a_group(key: &str, node: &Node, value: &Value, keys: &[Key]) -> Problem {
    let must = if key == "instances" { "a whole number or a table" } else { "a table" };
    let inner: Vec<&str> = keys
        .iter()
        .filter(|known| known.group() == Some(key) && !matches!(known.state, State::Later(_)))
        .map(|known| &known.path[key.len() + 1..])
        .collect();
    Problem::new(format!("`{key}` must be {must}, not {}", value.kind()))
        .at(&node.place, "wrong type")
        .help(format!("write {key} = {{ … }} with {}", list(&inner)))
}

/// Why a key cannot be used in this table.
fn misplaced(title: &Title, path: &str, entry: &Entry, keys: &[Key]) -> Option<Problem> {
    let Some(key) = keys.iter().find(|key| key.path == path) else {
        return Some(unknown(title, path, entry, keys));
    };
    match key.state {
        State::Later(instead) => {
            let problem = Problem::new(format!("`{path}` is not built yet"));
            Some(problem.at(&entry.key, "not built yet").help(instead))
        }
        State::OneService(why) if !matches!(title, Title::Service(_)) => {
            let problem = Problem::new(format!("`{path}` cannot stand in {title}: {why}"));
            Some(problem.at(&entry.key, "not here").help(format!("write it in [services.NAME]")))
        }
        State::OneService(_) | State::Anywhere => None,
    }
}

fn unknown(title: &Title, path: &str, entry: &Entry, keys: &[Key]) -> Problem {
    let (kind, known): (_, Vec<&str>) = (
        if *title == Title::Decorator { "option" } else { "key" },
        keys.iter().map(|key| key.path).collect(),
    );
    let tops = known.iter().map(|path| path.split('.').next().unwrap_or(path));
    let last_words = known.iter().copied().filter(|known| known.rsplit('.').next() == Some(path));
    let help = match suggest(path, known.iter().copied().chain(tops)) {
        Some(found) => format!("did you mean `{found}`?"),
        None if last_words.clone().count() > 0 => {
            format!("did you mean {}?", list(&last_words.collect::<Vec<_>>()))
        }
        None => format!("{title} takes {}", list(&usable(title, keys))),
    };
    Problem::new(format!("unknown {kind} `{path}` in {title}")).at(&entry.key, "unknown").help(help)
}

fn usable(title: &Title, keys: &[Key]) -> Vec<&'static str> {
    let usable = keys.iter().filter(|key| match key.state {
        State::Anywhere => true,
        State::OneService(_) => matches!(title, Title::Service(_)),
        State::Later(_) => false,
    });
    let mut words: Vec<&str> = usable.map(|key| key.group().unwrap_or(key.path)).collect();
    words.dedup();
    words
}

/// `a`, `b` and `c`
fn list(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}
