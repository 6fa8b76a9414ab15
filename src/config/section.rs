//! One table of settings laid flat (`scale = { cpu = 0.8 }` → `scale.cpu`), and the verdict on keys that do not
//! belong there.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostics, Problem};
use super::field::Field;
use super::names::suggest;
use super::place::Located;
use super::raw::{Entry, Node, Table, Value};
use super::schema;

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
    /// Not for a service with a `command`, and what to do there instead.
    Function(&'static str),
    /// As before, and not in `[defaults]` either, and why.
    OfFunction(&'static str),
    /// Only in the section of a service with a `command`, and what to do elsewhere.
    OfCommand(&'static str),
    /// Part of the design but not built yet, and what to do instead.
    Later(&'static str),
}

impl Key {
    fn group(&self) -> Option<&'static str> {
        self.path.split_once('.').map(|(group, _)| group)
    }

    /// The first word, which stands in the table itself.
    pub fn top(&self) -> &'static str {
        self.group().unwrap_or(self.path)
    }
}

/// Which table is being read.
#[derive(Clone, Debug, PartialEq)]
pub enum Title {
    Project,
    Python,
    Node,
    Gateway,
    Defaults,
    Service(String),
    /// As `Service`, where a `command` stands.
    Command(String),
    Decorator,
}

impl std::fmt::Display for Title {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Project => f.write_str("[project]"),
            Self::Python => f.write_str("[python]"),
            Self::Node => f.write_str("[node]"),
            Self::Gateway => f.write_str("[gateway]"),
            Self::Defaults => f.write_str("[defaults]"),
            Self::Service(name) if name.contains('.') => write!(f, "[services.\"{name}\"]"),
            Self::Service(name) | Self::Command(name) => write!(f, "[services.{name}]"),
            Self::Decorator => f.write_str("@microservice"),
        }
    }
}

/// The settings of one table by their paths.
pub struct Section {
    leaves: BTreeMap<String, Leaf>,
}

/// A value without tables of settings in it.
struct Leaf {
    /// The path that was written: `instances` for both bounds of `instances = 3`.
    written: String,
    entry: Entry,
}

impl Section {
    /// Lays the table flat and reports every key that cannot be used here.
    pub fn open(title: &Title, table: &Table, keys: &[Key], problems: &mut Diagnostics) -> Self {
        let mut leaves = BTreeMap::new();
        for (key, entry) in table {
            flatten(key, entry, keys, &mut leaves, problems);
        }
        // What stands in a wrong place is not read, so that it is reported once.
        leaves.retain(|path, leaf: &mut Leaf| {
            let problem = misplaced(title, path, &leaf.entry, keys);
            let is_in_place = problem.is_none();
            problem.into_iter().for_each(|problem| problems.add(problem));
            is_in_place
        });
        Self { leaves }
    }

    /// The checked value of a key, if it was written.
    pub fn read<T>(
        &self,
        path: &str,
        problems: &mut Diagnostics,
        check: fn(&mut Field<'_>) -> Option<T>,
    ) -> Option<Located<T>> {
        let Leaf { written, entry } = self.leaves.get(path)?;
        let value = check(&mut Field { path: written, node: &entry.node, problems })?;
        Some(Located::new(value, entry.key.clone()))
    }
}

fn flatten(
    key: &str,
    entry: &Entry,
    keys: &[Key],
    leaves: &mut BTreeMap<String, Leaf>,
    problems: &mut Diagnostics,
) {
    let leaf = |written: &str, entry: &Entry| Leaf { written: written.to_owned(), entry: entry.clone() };
    if !keys.iter().any(|known| known.group() == Some(key)) {
        leaves.insert(key.to_owned(), leaf(key, entry));
        return;
    }
    match &entry.node.value {
        Value::Table(table) => {
            for (inner, value) in table {
                let path = format!("{key}.{inner}");
                leaves.insert(path.clone(), leaf(&path, value));
            }
        }
        // A number of instances is a range of one value.
        Value::Integer(_) if key == "instances" => {
            for bound in ["min", "max"] {
                leaves.insert(format!("{key}.{bound}"), leaf(key, entry));
            }
        }
        // A number of retries says nothing of their pauses.
        Value::Integer(_) if key == "retries" => {
            leaves.insert("retries.max".to_owned(), leaf(key, entry));
        }
        other => problems.add(not_a_group(key, &entry.node, other, keys)),
    }
}

fn not_a_group(key: &str, node: &Node, value: &Value, keys: &[Key]) -> Problem {
    let must = if ["instances", "retries"].contains(&key) { "a whole number or a table" } else { "a table" };
    Problem::new(format!("`{key}` must be {must}, not {}", value.kind()))
        .at(&node.place, "wrong type")
        .help(format!("write `{key} = {{ … }}` with {}", list(&words_of(key, keys), "and")))
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
        State::OneService(why) if !matches!(title, Title::Service(_) | Title::Command(_)) => {
            let problem = Problem::new(format!("`{path}` cannot stand in {title}: {why}"));
            Some(problem.at(&entry.key, "not here").help("write it in [services.NAME]"))
        }
        State::OfFunction(why) if *title == Title::Defaults => {
            let problem = Problem::new(format!("`{path}` cannot stand in {title}: {why}"));
            let help = "write it in @microservice(…), and in [services.NAME] to change it there";
            Some(problem.at(&entry.key, "not here").help(help))
        }
        State::Function(instead) if matches!(title, Title::Command(_)) => {
            Some(not_of_command(path, title, entry, instead))
        }
        State::OfFunction(_) if matches!(title, Title::Command(_)) => {
            Some(not_of_command(path, title, entry, "remove it: a program is given no lists"))
        }
        State::OfCommand(instead) if !matches!(title, Title::Command(_)) => {
            let problem = Problem::new(format!("`{path}` is for services with a `command`"));
            Some(problem.at(&entry.key, "not here").help(instead))
        }
        State::OneService(_)
        | State::Function(_)
        | State::OfFunction(_)
        | State::OfCommand(_)
        | State::Anywhere => None,
    }
}

fn not_of_command(path: &str, title: &Title, entry: &Entry, instead: &str) -> Problem {
    let problem = Problem::new(format!("`{path}` cannot stand in {title}, which has a `command`"));
    problem.at(&entry.key, "not for a program").help(instead)
}

fn unknown(title: &Title, path: &str, entry: &Entry, keys: &[Key]) -> Problem {
    let kind = if *title == Title::Decorator { "option" } else { "key" };
    Problem::new(format!("unknown {kind} `{path}` in {title}"))
        .at(&entry.key, "unknown")
        .help(meant(title, path, keys))
}

/// What the writer of an unknown key probably meant.
fn meant(title: &Title, path: &str, keys: &[Key]) -> String {
    if let Some((group, word)) = path.split_once('.') {
        let words = words_of(group, keys);
        return match suggest(word, words.iter().copied()) {
            Some(found) => format!("did you mean `{group}.{found}`?"),
            None => format!("`{group}` takes {}", list(&words, "and")),
        };
    }
    if let Some(home) = schema::home(path) {
        return format!("it belongs in {home}");
    }
    // A part of a longer key: `max`, `timeout`.
    let ends_with_it = |known: &&str| known.strip_suffix(path).is_some_and(|rest| rest.ends_with(['.', '_']));
    let longer: Vec<&str> = keys.iter().map(|key| key.path).filter(ends_with_it).collect();
    match suggest(path, keys.iter().map(Key::top)) {
        _ if !longer.is_empty() => format!("did you mean {}?", list(&longer, "or")),
        Some(found) => format!("did you mean `{found}`?"),
        None => format!("{title} takes {}", list(&usable(title, keys), "and")),
    }
}

/// The built keys of a group, without its name.
fn words_of(group: &str, keys: &[Key]) -> Vec<&'static str> {
    let built = keys.iter().filter(|key| !matches!(key.state, State::Later(_)));
    built
        .filter_map(|key| key.path.split_once('.'))
        .filter(|(of, _)| *of == group)
        .map(|(_, word)| word)
        .collect()
}

fn usable(title: &Title, keys: &[Key]) -> Vec<&'static str> {
    let usable = keys.iter().filter(|key| match key.state {
        State::Anywhere => true,
        State::OneService(_) => matches!(title, Title::Service(_) | Title::Command(_)),
        State::Function(_) => !matches!(title, Title::Command(_)),
        State::OfFunction(_) => !matches!(title, Title::Defaults | Title::Command(_)),
        State::OfCommand(_) => matches!(title, Title::Command(_)),
        State::Later(_) => false,
    });
    let mut words: Vec<&str> = usable.map(Key::top).collect();
    words.dedup();
    words
}

/// `a`, `b` and `c`
fn list(words: &[&str], before_last: &str) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} {before_last} `{last}`", first.join(", "))
        }
    }
}
