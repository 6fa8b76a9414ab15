//! Checks of single values: each takes what was written and gives the typed value, or says what must stand
//! there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostics::{Diagnostics, Problem};
use super::duration;
use super::manifest::reserved_module;
use super::names::suggest;
use super::place::{Located, Place};
use super::raw::{Node, Value};
use super::value::{Env, Names, Signal};

/// A setting about to be checked: its key, what was written, and where mistakes go.
pub struct Field<'a> {
    pub path: &'a str,
    pub node: &'a Node,
    pub problems: &'a mut Diagnostics,
}

impl Field<'_> {
    /// A whole number.
    pub fn count(&mut self, range: RangeInclusive<u32>) -> Option<u32> {
        let must = format!("a whole number from {} to {}", range.start(), range.end());
        let Value::Integer(number) = self.node.value else { return self.mistyped(&must) };
        match u32::try_from(number) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => self.refuse(&format!("must be {must}, not {number}"), "out of range", None),
        }
    }

    /// A share of something, more than 0 and at most 1.
    pub fn share(&mut self) -> Option<f64> {
        let must = "a number above 0 and up to 1.0";
        let number = match self.node.value {
            Value::Float(number) => number,
            Value::Integer(1) => 1.0,
            Value::Integer(number) => number as f64,
            _ => return self.mistyped(must),
        };
        if number > 0.0 && number <= 1.0 {
            return Some(number);
        }
        let percent =
            (2.0..=100.0).contains(&number).then(|| format!("write {} for {number} %", number / 100.0));
        self.refuse(&format!("must be {must}, not {number}"), "out of range", percent)
    }

    pub fn flag(&mut self) -> Option<bool> {
        let Value::Boolean(flag) = self.node.value else { return self.mistyped("true or false") };
        Some(flag)
    }

    pub fn duration(&mut self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let must = "a duration such as \"30s\"";
        let units = "write a number with its unit in quotes: \"100ms\", \"30s\", \"5m\", \"1h\"";
        let Value::Text(text) = &self.node.value else {
            return self.refuse(
                &format!("must be {must}, not {}", self.node.value.kind()),
                "no duration",
                Some(units.into()),
            );
        };
        let Some(duration) = duration::parse(text) else {
            return self.refuse(&format!("must be {must}, not {text:?}"), "no duration", Some(units.into()));
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        let (from, to) = (duration::show(*range.start()), duration::show(*range.end()));
        self.refuse(&format!("must be from {from} to {to}, not {text}"), "out of range", None)
    }

    /// Text that says something: a path, a name.
    pub fn text(&mut self) -> Option<String> {
        let Value::Text(text) = &self.node.value else { return self.mistyped("a string") };
        if text.trim().is_empty() {
            return self.refuse("must not be empty", "empty", None);
        }
        Some(text.clone())
    }

    /// One of the words that are built, where the design has more.
    pub fn word(&mut self, built: &[&str], later: &[&str], instead: &str) -> Option<String> {
        let word = self.text()?;
        if built.contains(&word.as_str()) {
            return Some(word);
        }
        if later.contains(&word.as_str()) {
            let problem = Problem::new(format!("`{} = \"{word}\"` is not built yet", self.path));
            self.problems.add(problem.at(&self.node.place, "not built yet").help(instead));
            return None;
        }
        let known: Vec<&str> = built.iter().chain(later).copied().collect();
        let help = did_you_mean(&word, &known).unwrap_or_else(|| format!("write {}", quoted_list(built)));
        self.refuse(&format!("cannot be {word:?}"), "unknown", Some(help))
    }

    pub fn signal(&mut self) -> Option<Signal> {
        let must = "the name of a signal such as \"TERM\"";
        let Value::Text(text) = &self.node.value else { return self.mistyped(must) };
        if let Some(signal) = Signal::named(text) {
            return Some(signal);
        }
        let known = Signal::NAMES.map(|(name, _)| name);
        let help = did_you_mean(text, &known).unwrap_or_else(|| format!("one of {}", quoted_list(&known)));
        self.refuse(&format!("must be {must}, not {text:?}"), "unknown", Some(help))
    }

    /// A loopback address with its port; port 0 stands for any free one.
    pub fn address(&mut self) -> Option<SocketAddr> {
        let must = "an address with its port such as \"127.0.0.1:8080\"";
        let Value::Text(text) = &self.node.value else { return self.mistyped(must) };
        let Ok(address) = text.parse::<SocketAddr>() else {
            let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
            let help = port.map(|port| format!("write \"127.0.0.1:{port}\""));
            return self.refuse(&format!("must be {must}, not {text:?}"), "no address", help);
        };
        if address.ip().is_loopback() {
            return Some(address);
        }
        let problem = Problem::new("a non-loopback address needs `tokens`, which is not built yet");
        let help = format!(
            "use \"127.0.0.1:{}\", with a reverse proxy that checks who calls in front of it",
            address.port()
        );
        self.problems.add(problem.at(&self.node.place, "not loopback").help(help));
        None
    }

    /// An array of strings without repetitions.
    pub fn names(&mut self) -> Option<Names> {
        let Value::Array(items) = &self.node.value else { return self.mistyped("an array of strings") };
        let mut seen = BTreeSet::new();
        let mut names = Names::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("{}[{n}]", self.path);
            let mut field = Field { path: &path, node: item, problems: self.problems };
            let Some(name) = field.text() else { continue };
            if seen.insert(name.clone()) {
                names.push(Located::new(name, item.place.clone()));
                continue;
            }
            let first =
                names.iter().find(|other| other.value == name).map_or(&Place::Default, |other| &other.place);
            let problem = Problem::new(format!("`{name}` is listed twice in `{}`", self.path));
            let problem = problem.at(&item.place, "again").at(first, "first");
            self.problems.add(problem.help("remove one of the two"));
        }
        Some(names)
    }

    /// Names of Python modules.
    pub fn modules(&mut self) -> Option<Names> {
        let names = self.names()?;
        for name in &names {
            if let Some(problem) = module_problem(name) {
                self.problems.add(problem);
            }
        }
        Some(names)
    }

    /// Files of JavaScript below the manifest's folder.
    pub fn scripts(&mut self) -> Option<Names> {
        let names = self.names()?;
        for name in &names {
            if let Some(problem) = script_problem(name) {
                self.problems.add(problem);
            }
        }
        Some(names)
    }

    /// Variables: a table of strings.
    pub fn env(&mut self) -> Option<Env> {
        let Value::Table(table) = &self.node.value else {
            return self.mistyped("a table of strings such as { LEVEL = \"info\" }");
        };
        let mut env = Env::default();
        for (key, entry) in table {
            let path = format!("{}.{key}", self.path);
            let mut field = Field { path: &path, node: &entry.node, problems: self.problems };
            if let Some(text) = field.variable(key) {
                env.0.insert(key.clone(), Located::new(text, entry.key.clone()));
            }
        }
        Some(env)
    }

    fn variable(&mut self, key: &str) -> Option<String> {
        if key.is_empty() || key.contains('=') || key.contains(char::is_control) {
            return self.refuse("cannot be the name of a variable", "this one", None);
        }
        match &self.node.value {
            Value::Text(text) if text.contains('\0') => {
                self.refuse("must not contain a NUL character", "this one", None)
            }
            Value::Text(text) => Some(text.clone()),
            other => {
                let help = match other {
                    Value::Integer(number) => Some(format!("write {key} = \"{number}\"")),
                    Value::Boolean(flag) => Some(format!("write {key} = \"{flag}\"")),
                    _ => None,
                };
                self.refuse(&format!("must be a string, not {}", other.kind()), "no string", help)
            }
        }
    }

    fn mistyped<T>(&mut self, must: &str) -> Option<T> {
        self.refuse(&format!("must be {must}, not {}", self.node.value.kind()), "wrong type", None)
    }

    /// `what` is the sentence after the key.
    pub fn refuse<T>(&mut self, what: &str, label: &'static str, help: Option<String>) -> Option<T> {
        let problem = Problem::new(format!("`{}` {what}", self.path)).at(&self.node.place, label);
        self.problems.add(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
        None
    }
}

fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    suggest(word, known.iter().copied()).map(|found| format!("did you mean \"{found}\"?"))
}

fn quoted_list(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

fn module_problem(name: &Located<String>) -> Option<Problem> {
    let problem =
        |message: String, label, help: String| Some(Problem::new(message).at(&name.place, label).help(help));
    if reserved_module(name) {
        return problem(
            format!("the module name `{}` is reserved", name.value),
            "reserved",
            "`msx` is the package that this module imports: give yours another name".into(),
        );
    }
    if let Some(stem) = name.strip_suffix(".py") {
        let dotted = stem.replace('/', ".");
        return problem(
            format!("`{}` is a file, not the name of a module", name.value),
            "a file",
            format!("write \"{dotted}\", and in `path` the folder it is in"),
        );
    }
    if name.split('.').all(is_identifier) {
        return None;
    }
    problem(
        format!("`{}` is not the name of a Python module", name.value),
        "no module name",
        "write it as in an import statement, such as \"a\" or \"package.a\"".into(),
    )
}

/// What Node.js imports as a module; the newer versions take TypeScript, too.
const SCRIPTS: [&str; 5] = [".mjs", ".js", ".cjs", ".mts", ".ts"];

fn script_problem(name: &Located<String>) -> Option<Problem> {
    let problem = |message: String, label, help: &str| {
        Some(Problem::new(message).at(&name.place, label).help(help.to_owned()))
    };
    let Some(stem) = SCRIPTS.iter().find_map(|ending| name.strip_suffix(ending)) else {
        return problem(
            format!("`{}` is not a file of JavaScript", name.value),
            "no JavaScript",
            "write its path with its ending, such as \"services/prices.mjs\"",
        );
    };
    if stem.split('/').all(is_identifier) {
        return None;
    }
    problem(
        format!("`{}` cannot name a service", name.value),
        "no module name",
        "write the path from the manifest's folder; folders and file have names of letters, digits and `_`",
    )
}

fn is_identifier(word: &str) -> bool {
    let starts_well = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    starts_well && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}
