//! How log lines look in a terminal, and the thread that shows them while `msx up` runs in the foreground.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::progress::Display;
use super::terminal::{Paint, Style};
use crate::supervisor::logs::{Entry, Reader, Stream};

/// How often followers look at the files.
pub const POLL: Duration = Duration::from_millis(100);
/// Lines shown in one write.
const LINES_PER_WRITE_MAX: usize = 1000;

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

/// Shows new lines until it is stopped.
pub struct Follower {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Follower {
    pub fn start(mut reader: Reader, display: Arc<Display>, paint: Paint) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut format = LogFormat::new(paint);
        let thread = thread::Builder::new().name("msx-follow".into()).spawn(move || {
            let mut last = false;
            // A log that cannot be read or shown must not end the hub; `msx logs` will say why.
            while reader.refresh().and_then(|()| show(&mut reader, &mut format, &display)).is_ok() && !last {
                last = stopped.recv_timeout(POLL) != Err(RecvTimeoutError::Timeout);
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Shows what is left, then ends.
    pub fn finish(self) {
        drop(self.stop);
        // It has nothing to panic about, and this program is ending.
        let _ = self.thread.join();
    }
}

fn show(reader: &mut Reader, format: &mut LogFormat, display: &Display) -> io::Result<()> {
    loop {
        let (mut text, mut lines) = (String::new(), 0);
        while lines < LINES_PER_WRITE_MAX
            && let Some(entry) = reader.next()?
        {
            text += &format.line(&entry);
            text.push('\n');
            lines += 1;
        }
        if lines == 0 {
            return Ok(());
        }
        display.data(&text)?;
    }
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
