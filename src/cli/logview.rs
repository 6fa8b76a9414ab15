//! How log lines look in a terminal. Pure.

use std::time::Duration;

use super::terminal::{Paint, Style};
use crate::supervisor::logs::{Entry, Stream};

/// How often those who follow look at the files.
pub const POLL: Duration = Duration::from_millis(100);

/// Puts the instance before each line, in a colour of its own.
pub struct LogFormat {
    paint: Paint,
    /// Longest instance seen: the lines start in one column.
    width: usize,
}

impl LogFormat {
    pub fn new(paint: Paint) -> Self {
        Self { paint, width: 0 }
    }

    pub fn line(&mut self, entry: &Entry) -> String {
        self.width = self.width.max(entry.instance.chars().count());
        let prefix = format!("{:width$} |", entry.instance, width = self.width);
        let prefix = self.paint.apply(Style::Label(label(&entry.instance)), &prefix);
        match entry.stream {
            Stream::Store => format!("{prefix} {}", self.paint.apply(Style::Warning, &entry.line)),
            Stream::Stdout | Stream::Stderr => format!("{prefix} {}", entry.line),
        }
    }
}

/// The same for the same instance in every run; neighbours (`a-1`, `a-2`) differ.
fn label(instance: &str) -> u8 {
    let sum = instance.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(7).wrapping_add(u32::from(byte)));
    (sum % u32::from(Style::LABELS)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(instance: &str, stream: Stream, line: &str) -> Entry {
        Entry {
            time: "2026-11-24T10:00:00Z".parse().unwrap(),
            service: "a.a".into(),
            instance: instance.into(),
            stream,
            line: line.into(),
        }
    }

    #[test]
    fn lines_start_in_one_column() {
        let mut format = LogFormat::new(Paint::Off);
        assert_eq!(format.line(&entry("long-1", Stream::Stdout, "one")), "long-1 | one");
        assert_eq!(format.line(&entry("a-1", Stream::Stderr, "  two")), "a-1    |   two");
    }

    #[test]
    fn neighbours_have_different_colours() {
        assert_ne!(label("a-1"), label("a-2"));
        assert_ne!(label("a-1"), label("b-1"));
        let mut format = LogFormat::new(Paint::On);
        assert!(format.line(&entry("a-1", Stream::Stdout, "x")).starts_with("\x1b["));
    }
}
