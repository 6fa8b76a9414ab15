//! The types that settings have: how each is shown, and how one lies over another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use toml::Value as Toml;

use super::command::{Check, Probe, Target, Until};
use super::duration;
use super::place::{Located, Place};

/// One line of `msx config`: `path = value  # place`.
#[derive(Clone, Debug)]
pub struct Line {
    /// Keys from the section down to the value.
    pub path: Vec<String>,
    pub value: Toml,
    pub place: Place,
}

/// What the table of settings asks of a type.
pub trait Setting: Sized {
    /// The value that counts when `self` was written over `below`.
    fn over(self, below: Self) -> Self {
        let _ = below;
        self
    }

    /// As TOML; `None` if there is nothing to show.
    fn show(&self) -> Option<Toml>;

    /// The lines that show it under `path`, most often one.
    fn lines(&self, path: &str, place: &Place) -> Vec<Line> {
        let line =
            |value| Line { path: path.split('.').map(str::to_owned).collect(), value, place: place.clone() };
        self.show().map(line).into_iter().collect()
    }
}

impl Setting for u32 {
    fn show(&self) -> Option<Toml> {
        Some(Toml::Integer(i64::from(*self)))
    }
}

impl Setting for f64 {
    fn show(&self) -> Option<Toml> {
        Some(Toml::Float(*self))
    }
}

impl Setting for bool {
    fn show(&self) -> Option<Toml> {
        Some(Toml::Boolean(*self))
    }
}

impl Setting for String {
    fn show(&self) -> Option<Toml> {
        Some(Toml::String(self.clone()))
    }
}

impl Setting for Duration {
    fn show(&self) -> Option<Toml> {
        Some(Toml::String(duration::show(*self)))
    }
}

impl Setting for SocketAddr {
    fn show(&self) -> Option<Toml> {
        Some(Toml::String(self.to_string()))
    }
}

impl<T: Setting> Setting for Option<T> {
    fn show(&self) -> Option<Toml> {
        self.as_ref().and_then(T::show)
    }

    fn lines(&self, path: &str, place: &Place) -> Vec<Line> {
        self.as_ref().map_or_else(Vec::new, |value| value.lines(path, place))
    }
}

/// Names or paths, each where it was written.
pub type Names = Vec<Located<String>>;

impl Setting for Names {
    fn show(&self) -> Option<Toml> {
        let names = self.iter().map(|name| Toml::String(name.value.clone()));
        (!self.is_empty()).then(|| Toml::Array(names.collect()))
    }
}

/// What a service waits for before it starts; `None`: as far as is usual for what it is.
pub type Dependencies = Vec<(Located<String>, Option<Until>)>;

impl Setting for Dependencies {
    fn show(&self) -> Option<Toml> {
        // All but `started` is what a list means.
        if self.iter().all(|(_, until)| *until != Some(Until::Started)) {
            let names = self.iter().map(|(name, _)| Toml::String(name.value.clone()));
            return (!self.is_empty()).then(|| Toml::Array(names.collect()));
        }
        let entry = |(name, until): &(Located<String>, Option<Until>)| {
            (name.value.clone(), Toml::String(until.unwrap_or(Until::Ready).as_str().to_owned()))
        };
        Some(Toml::Table(self.iter().map(entry).collect()))
    }
}

/// A probe as a setting.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSetting(pub Probe);

impl Setting for ProbeSetting {
    fn show(&self) -> Option<Toml> {
        None
    }

    fn lines(&self, path: &str, place: &Place) -> Vec<Line> {
        let Probe { check, timeout, interval, failures } = &self.0;
        let text = |text: &str| Toml::String(text.to_owned());
        let asked = match check {
            Check::Http { target: Target::Own, path } => ("http", text(path)),
            Check::Http { target: Target::At(host), path } => ("http", text(&format!("http://{host}{path}"))),
            Check::Tcp(Target::Own) => ("tcp", text("$PORT")),
            Check::Tcp(Target::At(host)) => ("tcp", text(host)),
            Check::Exec(argv) => ("exec", Toml::Array(argv.iter().map(|word| text(word)).collect())),
            Check::Log(line) => ("log", text(line)),
        };
        let times = [("timeout", timeout.show()), ("interval", interval.show())];
        let times = times.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let failures = ("failures", Toml::Integer(i64::from(*failures)));
        let line = |(key, value): (&str, Toml)| Line {
            path: vec![path.to_owned(), key.to_owned()],
            value,
            place: place.clone(),
        };
        [asked].into_iter().chain(times).chain([failures]).map(line).collect()
    }
}

/// Variables of an instance. Unlike other settings they add up: a layer replaces single variables.
#[derive(Clone, Debug, Default)]
pub struct Env(pub BTreeMap<String, Located<String>>);

impl Setting for Env {
    fn over(self, below: Self) -> Self {
        let mut variables = below.0;
        variables.extend(self.0);
        Self(variables)
    }

    fn show(&self) -> Option<Toml> {
        None
    }

    fn lines(&self, path: &str, _place: &Place) -> Vec<Line> {
        let line = |(key, text): (&String, &Located<String>)| Line {
            path: vec![path.to_owned(), key.clone()],
            value: Toml::String(if is_secret(key) { "***".to_owned() } else { text.value.clone() }),
            place: text.place.clone(),
        };
        self.0.iter().map(line).collect()
    }
}

/// Words in the name of a variable whose value is not printed. A guess that errs on the side of hiding.
const SECRET_WORDS: [&str; 7] = ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL", "AUTH"];

fn is_secret(variable: &str) -> bool {
    let variable = variable.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| variable.contains(word))
}

/// A signal that ends a process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

impl Signal {
    /// The signals that make sense to stop a program with.
    pub const NAMES: [(&str, Self); 7] = [
        ("TERM", Self(libc::SIGTERM)),
        ("INT", Self(libc::SIGINT)),
        ("QUIT", Self(libc::SIGQUIT)),
        ("HUP", Self(libc::SIGHUP)),
        ("USR1", Self(libc::SIGUSR1)),
        ("USR2", Self(libc::SIGUSR2)),
        ("KILL", Self(libc::SIGKILL)),
    ];

    /// `TERM` or `SIGTERM`.
    pub fn named(name: &str) -> Option<Self> {
        let short = name.strip_prefix("SIG").unwrap_or(name);
        Self::NAMES.iter().find(|(known, _)| *known == short).map(|(_, signal)| *signal)
    }
}

impl Setting for Signal {
    fn show(&self) -> Option<Toml> {
        let (name, _) = Self::NAMES.iter().find(|(_, signal)| signal == self)?;
        Some(Toml::String((*name).to_owned()))
    }
}
