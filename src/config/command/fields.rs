//! Checks of the settings that only services with a `command` have.

use std::time::Duration;

use super::{Check, Probe, Target, Until};
use crate::config::field::Field;
use crate::config::names::suggest;
use crate::config::place::Located;
use crate::config::raw::{Entry, Table, Value};
use crate::config::value::{Dependencies, Names, ProbeSetting};

const CHECKS: [&str; 4] = ["http", "tcp", "exec", "log"];
const WORDS: [&str; 7] = ["http", "tcp", "exec", "log", "timeout", "interval", "failures"];
/// A start may take long; an attempt that takes longer than this is none.
const TIMES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3_600));
const FAILURES_MAX: u32 = 1_000;

impl Field<'_> {
    /// A program and its arguments.
    pub fn argv(&mut self) -> Option<Names> {
        let words = self.words()?;
        match words.first() {
            None => self.refuse("must not be empty", "empty", Some(EXAMPLE.to_owned())),
            Some(program) if program.trim().is_empty() => {
                self.refuse("must begin with the name of a program", "no program", Some(EXAMPLE.to_owned()))
            }
            Some(_) => Some(words),
        }
    }

    fn words(&mut self) -> Option<Names> {
        let must = "must be an array of strings, the program and its arguments";
        let items = match &self.node.value {
            Value::Array(items) => items,
            Value::Text(line) => {
                let help = format!("write {}, or [\"sh\", \"-c\", {line:?}]", split(line));
                return self.refuse(&format!("{must}, not a string"), "no array", Some(help));
            }
            other => {
                let what = format!("{must}, not {}", other.kind());
                return self.refuse(&what, "no array", Some(EXAMPLE.to_owned()));
            }
        };
        let mut words = Names::new();
        for (n, item) in items.iter().enumerate() {
            let path = format!("{}[{n}]", self.path);
            let mut field = Field { path: &path, node: item, problems: self.problems };
            words.push(Located::new(field.word_of_command()?, item.place.clone()));
        }
        Some(words)
    }

    fn word_of_command(&mut self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) if text.contains('\0') => {
                self.refuse("must not contain a NUL character", "this one", None)
            }
            Value::Text(text) => Some(text.clone()),
            Value::Integer(number) => {
                let help = format!("write \"{number}\"");
                self.refuse("must be a string, not an integer", "no string", Some(help))
            }
            other => self.refuse(&format!("must be a string, not {}", other.kind()), "no string", None),
        }
    }

    /// `{ http = "/", timeout = "10s" }`
    pub fn probe(&mut self) -> Option<ProbeSetting> {
        let Value::Table(table) = &self.node.value else {
            let what = format!("must be a table, not {}", self.node.value.kind());
            let help = format!("write `{} = {{ http = \"/\" }}`, or with tcp, exec or log", self.path);
            return self.refuse(&what, "wrong type", Some(help));
        };
        let mut is_known = true;
        for (key, entry) in table {
            is_known &= self.knows(key, entry);
        }
        // A mistyped kind of check is reported once.
        let check = if is_known { self.check(table) } else { None };
        let times = TIMES.0..=TIMES.1;
        let timeout = self.part(table, "timeout", |field| field.duration(times.clone()));
        let interval = self.part(table, "interval", |field| field.duration(times.clone()));
        let failures = self.part(table, "failures", |field| field.count(1..=FAILURES_MAX));
        let probe = Probe {
            check: check?,
            timeout: timeout?,
            interval: interval?,
            failures: failures?.unwrap_or(Probe::FAILURES),
        };
        Some(ProbeSetting(probe))
    }

    fn knows(&mut self, key: &str, entry: &Entry) -> bool {
        if WORDS.contains(&key) {
            return true;
        }
        let help = match suggest(key, WORDS) {
            Some(found) => format!("did you mean `{}.{found}`?", self.path),
            None => format!(
                "`{}` takes one of http, tcp, exec and log, with timeout, interval and failures",
                self.path
            ),
        };
        let problem = crate::config::diagnostics::Problem::new(format!("unknown key `{}.{key}`", self.path));
        self.problems.add(problem.at(&entry.key, "unknown").help(help));
        false
    }

    /// The value of a key of the table: `None` if it is wrong, `Some(None)` if it is not there.
    fn part<T>(
        &mut self,
        table: &Table,
        key: &str,
        read: impl FnOnce(&mut Field<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        let Some(entry) = table.get(key) else { return Some(None) };
        let path = format!("{}.{key}", self.path);
        read(&mut Field { path: &path, node: &entry.node, problems: self.problems }).map(Some)
    }

    fn check(&mut self, table: &Table) -> Option<Check> {
        let given: Vec<&str> = CHECKS.into_iter().filter(|check| table.contains_key(*check)).collect();
        let [kind] = given[..] else {
            let what = match given.is_empty() {
                true => "does not say what to ask".to_owned(),
                false => format!("asks {} things at once", given.len()),
            };
            let help = "give one of http = \"/\", tcp = 6379, exec = [\"…\"] and log = \"…\"";
            return self.refuse(&what, "here", Some(help.to_owned()));
        };
        let check = match kind {
            "http" => self.part(table, kind, |field| field.http_check()),
            "tcp" => self.part(table, kind, |field| field.tcp_check()),
            "exec" => self.part(table, kind, |field| {
                Some(Check::Exec(field.argv()?.into_iter().map(|word| word.value).collect()))
            }),
            _ => self.part(table, kind, |field| field.text().map(Check::Log)),
        };
        check.flatten()
    }

    fn http_check(&mut self) -> Option<Check> {
        let text = self.text()?;
        let is_clean = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        if text.starts_with('/') && is_clean(&text) {
            return Some(Check::Http { target: Target::Own, path: text });
        }
        let elsewhere = text.strip_prefix("http://").filter(|rest| is_clean(rest)).and_then(|rest| {
            let (host, path) =
                rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, path.to_owned()));
            is_host_and_port(host).then(|| (host.to_owned(), format!("/{path}")))
        });
        let Some((host, path)) = elsewhere else {
            let help =
                "write a path such as \"/health\", or \"http://127.0.0.1:9000/health\" for another port";
            let what = format!("must be the path of a page, not {text:?}");
            return self.refuse(&what, "no path", Some(help.to_owned()));
        };
        Some(Check::Http { target: Target::At(host), path })
    }

    fn tcp_check(&mut self) -> Option<Check> {
        let must = "must be a port, \"host:port\" or \"$PORT\"";
        match &self.node.value {
            Value::Integer(port) if (1..=65_535).contains(port) => {
                Some(Check::Tcp(Target::At(format!("127.0.0.1:{port}"))))
            }
            Value::Integer(port) => self.refuse(&format!("{must}, not {port}"), "no port", None),
            Value::Text(text) if text == "$PORT" => Some(Check::Tcp(Target::Own)),
            Value::Text(text) if is_host_and_port(text) => Some(Check::Tcp(Target::At(text.clone()))),
            Value::Text(text) => self.refuse(&format!("{must}, not {text:?}"), "no port", None),
            other => self.refuse(&format!("{must}, not {}", other.kind()), "wrong type", None),
        }
    }

    /// `["a", "b"]`, or `{ a = "ready" }`.
    pub fn dependencies(&mut self) -> Option<Dependencies> {
        let Value::Table(table) = &self.node.value else {
            return match self.node.value {
                Value::Array(_) => {
                    self.names().map(|names| names.into_iter().map(|name| (name, None)).collect())
                }
                _ => self.refuse(
                    &format!(
                        "must be an array of service names, or a table such as {{ db = \"ready\" }}, not {}",
                        self.node.value.kind()
                    ),
                    "wrong type",
                    None,
                ),
            };
        };
        let words = Until::NAMES.map(|(name, _)| name);
        let mut dependencies = Dependencies::new();
        for (name, entry) in table {
            let path = format!("{}.{name}", self.path);
            let mut field = Field { path: &path, node: &entry.node, problems: self.problems };
            let word = field.word(&words, &[], "");
            let until = Until::NAMES.into_iter().find(|(name, _)| Some(*name) == word.as_deref());
            dependencies.push((Located::new(name.clone(), entry.key.clone()), until.map(|(_, until)| until)));
        }
        Some(dependencies)
    }
}

const EXAMPLE: &str = "write [\"python3\", \"-m\", \"http.server\", \"$PORT\"]";

/// A command line as an array, as far as spaces tell.
fn split(line: &str) -> String {
    let words: Vec<String> = line.split_whitespace().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(", "))
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}
