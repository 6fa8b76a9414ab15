//! What a starting hub is doing, on stderr: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::terminal::{Paint, Style, Terminal};
use crate::protocol::progress::Progress;

/// One for a command. Safe to use from any thread; what it prints never tears a bar or a line.
pub struct Display {
    paint: Paint,
    /// Said when every service is ready.
    hint: &'static str,
    view: Mutex<View>,
}

struct View {
    /// Absent where stderr is no terminal.
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
        let view = View { bars, said: HashMap::new(), services: 0 };
        Self { paint: terminal.stderr, hint, view: Mutex::new(view) }
    }

    pub fn show(&self, progress: &Progress) {
        let mut view = self.view.lock();
        match progress {
            Progress::Preparing { what, done, total } => view.preparing(what, *done, *total),
            Progress::Found { services } => view.found(services),
            Progress::Service { name, ready, wanted, state } => {
                view.service(name, *ready, *wanted, &self.paint.apply(style(state), state));
            }
            Progress::Gateway { url } => view.say(&format!("gateway  {url}")),
            Progress::Note(text) => {
                view.say(&format!("{} {text}", self.paint.apply(Style::Warning, "note:")))
            }
            Progress::Ready => {
                view.clear();
                let (n, ready) = (view.services, self.paint.apply(Style::Good, "ready"));
                view.say(&format!(
                    "{ready}: {n} {}. {}",
                    if n == 1 { "service" } else { "services" },
                    self.hint
                ));
            }
            Progress::Stopping => {
                view.clear();
                view.say("stopping: running calls may finish; Ctrl-C again ends them");
            }
        }
    }

    /// Writes data to stdout between the bars.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let write = || {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
        self.view.lock().suspended(write)
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        self.view.lock().clear();
    }
}

impl View {
    fn preparing(&mut self, what: &str, done: u64, total: u64) {
        let Some(bars) = &mut self.bars else {
            return self.say_once("preparing", format!("preparing: {what}"));
        };
        let bar = bars.preparing.get_or_insert_with(|| {
            let bar = bars.multi.add(ProgressBar::no_length());
            bar.enable_steady_tick(TICK);
            bar
        });
        match total {
            0 => bar.set_style(template("{spinner} {msg} {elapsed}")),
            total => {
                bar.set_style(template("{spinner} {msg} {bar:24} {percent}%"));
                bar.set_length(total);
            }
        }
        bar.set_position(done);
        bar.set_message(what.to_owned());
    }

    fn found(&mut self, services: &[(String, u32)]) {
        self.services = services.len();
        let Some(bars) = &mut self.bars else {
            let names: Vec<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
            return self.say(&format!("services: {}", names.join(", ")));
        };
        if let Some(bar) = bars.preparing.take() {
            bar.finish_and_clear();
        }
        let width = services.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, wanted) in services {
            let bar = bars.multi.add(ProgressBar::new(u64::from(*wanted)));
            bar.set_style(template("{prefix} {bar:16} {pos}/{len} {msg}"));
            bar.set_prefix(format!("{name:width$}"));
            bars.services.insert(name.clone(), bar);
        }
    }

    fn service(&mut self, name: &str, ready: u32, wanted: u32, state: &str) {
        let bar = self.bars.as_ref().and_then(|bars| bars.services.get(name));
        match bar {
            Some(bar) => {
                bar.set_length(u64::from(wanted));
                bar.set_position(u64::from(ready));
                bar.set_message(state.to_owned());
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
        self.suspended(|| eprintln!("{text}"));
    }

    fn suspended<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.multi.suspend(write),
            None => write(),
        }
    }

    /// The bars have done their work; from now on there are lines.
    fn clear(&mut self) {
        let Some(bars) = self.bars.take() else { return };
        for bar in bars.preparing.iter().chain(bars.services.values()) {
            bar.finish_and_clear();
        }
    }
}

/// How a service does, by the worst of its instances.
fn style(state: &str) -> Style {
    match state {
        "ready" => Style::Good,
        "crashloop" => Style::Error,
        _ => Style::Warning,
    }
}

const TICK: Duration = Duration::from_millis(100);

fn template(text: &str) -> ProgressStyle {
    // The texts are constants; one that does not parse would only look plain.
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
