//! What stdout and stderr are: terminals or not, coloured or not, how wide.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use clap::ValueEnum;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::failure::Failure;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// The two streams, looked at once.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    pub stdout: Paint,
    pub stderr: Paint,
    /// Whether progress may be drawn.
    pub interactive: bool,
    /// Columns of stdout; `None` when it is not a terminal, so nothing is cut.
    pub width: Option<usize>,
}

impl Terminal {
    pub fn detect(color: Color) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let paint = |is_terminal: bool| match color {
            Color::Always => Paint::On,
            Color::Auto if is_terminal && !plain => Paint::On,
            Color::Auto | Color::Never => Paint::Off,
        };
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            stdout: paint(stdout),
            stderr: paint(stderr),
            interactive: stderr,
            width: columns().filter(|_| stdout),
        }
    }
}

fn columns() -> Option<usize> {
    let named = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    named.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}

/// Whether escapes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    On,
    Off,
}

/// What a text is, rather than how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Error,
    Help,
    Good,
    Warning,
    Heading,
    Faint,
    /// One of a few colours that tell instances apart.
    Label(u8),
}

impl Style {
    /// Number of different labels.
    pub const LABELS: u8 = 10;

    fn code(self) -> String {
        match self {
            Self::Error => "1;31".into(),
            Self::Help => "1;36".into(),
            Self::Good => "32".into(),
            Self::Warning => "33".into(),
            Self::Heading => "1".into(),
            Self::Faint => "2".into(),
            // Cyan to blue without red, which means trouble: 36 35 34 33 32, then their bright ones.
            Self::Label(n) if n % Self::LABELS < 5 => (36 - n % Self::LABELS).to_string(),
            Self::Label(n) => (96 - (n % Self::LABELS - 5)).to_string(),
        }
    }
}

impl Paint {
    pub fn apply(self, style: Style, text: &str) -> String {
        match self {
            Self::On => format!("\x1b[{}m{text}\x1b[0m", style.code()),
            Self::Off => text.to_owned(),
        }
    }
}

/// Writes a line for the person, to stderr. A stderr that is closed must not end a hub, as it would with `eprintln!`.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes data: JSON on one line, to stdout.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string(value).map_err(|e| Failure::failed(format!("cannot print JSON: {e}")))?;
    print_line(&text)
}

/// Writes data: `text` and a newline, to stdout.
pub fn print_line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::stdout)
}

/// A reader that went away is noticed although there is nothing to write: `msx logs -f | head` ends.
pub fn output_closed() -> bool {
    let stdout = io::stdout();
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let ready = poll(&mut fds, PollTimeout::ZERO);
    ready.is_ok_and(|n| n > 0) && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}
