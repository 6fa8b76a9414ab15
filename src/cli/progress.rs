//! What a starting hub is doing, on stderr: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::terminal::{Paint, Style, Terminal, say};
use crate::protocol::progress::Progress;

const TICK: Duration = Duration::from_millis(100);

/// Shows one start, from the environment to ready, and what follows as lines.
pub struct Display {
    paint: Paint,
    /// Said when every service is ready.
    hint: &'static str,
    /// Absent where stderr is no terminal, and once every service is ready.
    bars: Option<Bars>,
    /// Last line said about each subject: the same one is not said twice.
    said: HashMap<String, String>,
    services: usize,
}

#[derive(Default)]
struct Bars {
    multi: MultiProgress,
    preparing: Option<ProgressBar>,
    services: HashMap<String, ProgressBar>,
}

impl Display {
    pub fn new(terminal: &Terminal, hint: &'static str) -> Self {
        let bars = terminal.interactive.then(Bars::default);
        Self { paint: terminal.stderr, hint, bars, said: HashMap::new(), services: 0 }
    }

    pub fn show(&mut self, progress: &Progress) {
        match progress {
            Progress::Preparing { what, done, total } => self.preparing(what, *done, *total),
            Progress::Found { services } => self.found(services),
            Progress::Service { name, ready, wanted, state } => self.service(name, *ready, *wanted, state),
            Progress::Gateway { url } => self.say(&format!("gateway: {url}")),
            Progress::Note(text) => {
                self.say(&format!("{} {text}", self.paint.apply(Style::Warning, "note:")))
            }
            Progress::Ready => {
                self.clear();
                let services = if self.services == 1 { "service" } else { "services" };
                let ready = self.paint.apply(Style::Good, "ready");
                self.say(&format!("{ready}: {} {services}; {}", self.services, self.hint));
            }
            Progress::Stopping => {
                self.clear();
                self.say("stopping: running calls may finish; Ctrl-C again ends them");
            }
        }
    }

    /// Writes data to stdout between the bars.
    pub fn data(&self, text: &str) -> io::Result<()> {
        self.aside(|| {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        })
    }

    /// Takes the bars away; from now on there are lines.
    pub fn clear(&mut self) {
        let Some(bars) = self.bars.take() else { return };
        for bar in bars.preparing.iter().chain(bars.services.values()) {
            bar.finish_and_clear();
        }
    }

    fn preparing(&mut self, what: &str, done: u64, total: u64) {
        match &mut self.bars {
            Some(bars) => bars.preparing(what, done, total),
            None => self.say_once("", format!("preparing: {what}")),
        }
    }

    fn found(&mut self, services: &[(String, u32)]) {
        self.services = services.len();
        match &mut self.bars {
            Some(bars) => bars.found(services),
            None => {
                let names: Vec<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
                self.say(&format!("services: {}", names.join(", ")));
            }
        }
    }

    fn service(&mut self, name: &str, ready: u32, wanted: u32, state: &str) {
        let style = match state {
            "ready" | "completed" | "running" => Style::Good,
            "crashloop" | "failed" => Style::Error,
            _ => Style::Warning,
        };
        let state = self.paint.apply(style, state);
        match self.bars.as_ref().and_then(|bars| bars.services.get(name)) {
            Some(bar) => {
                bar.set_length(u64::from(wanted));
                bar.set_position(u64::from(ready));
                bar.set_message(state);
            }
            None => self.say_once(name, format!("{name}: {state} ({ready}/{wanted})")),
        }
    }

    fn say_once(&mut self, subject: &str, text: String) {
        if self.said.get(subject) != Some(&text) {
            self.say(&text);
            self.said.insert(subject.to_owned(), text);
        }
    }

    fn say(&self, text: &str) {
        self.aside(|| say(text));
    }

    /// Writes while the bars are out of the way.
    fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.multi.suspend(write),
            None => write(),
        }
    }
}

impl Bars {
    fn preparing(&mut self, what: &str, done: u64, total: u64) {
        let bar = self.preparing.get_or_insert_with(|| {
            let bar = self.multi.add(ProgressBar::no_length());
            bar.enable_steady_tick(TICK);
            bar
        });
        if total == 0 {
            bar.set_style(template("{spinner} {msg} {elapsed}"));
        } else {
            bar.set_style(template("{spinner} {msg} {bar:24} {percent}%"));
            bar.set_length(total);
        }
        bar.set_position(done);
        bar.set_message(what.to_owned());
    }

    fn found(&mut self, services: &[(String, u32)]) {
        if let Some(bar) = self.preparing.take() {
            bar.finish_and_clear();
        }
        let width = services.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, wanted) in services {
            let bar = self.multi.add(ProgressBar::new(u64::from(*wanted)));
            bar.set_style(template("{prefix} {bar:16} {pos}/{len} {msg}"));
            bar.set_prefix(format!("{name:width$}"));
            self.services.insert(name.clone(), bar);
        }
    }
}

fn template(text: &str) -> ProgressStyle {
    // The texts are constants; one that did not parse would only look plain.
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Shows that a request is under way; nothing where stderr is no terminal.
pub struct Spinner(Option<ProgressBar>);

impl Spinner {
    pub fn start(terminal: &Terminal, what: &'static str) -> Self {
        Self(terminal.interactive.then(|| {
            let bar = ProgressBar::new_spinner().with_style(template("{spinner} {msg} {elapsed}"));
            bar.set_message(what);
            bar.enable_steady_tick(TICK);
            bar
        }))
    }

    pub fn stop(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}
