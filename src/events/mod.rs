//! What the hub did and why: the latest in memory, more of it in two files of a bounded size in `.msx/`.
//!
//! Few things a minute are written down here, none of them on the path of a call. The files outlive the hub, so that
//! `msx events` tells why one ended, too.

mod reader;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::protocol::events::{EventKind, HubEvent, Subject};
pub use reader::Reader;

/// Events in memory.
const KEPT_MAX: usize = 1_000;
/// A file that has grown to so many bytes takes the place of the one before: together some thousand events.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Longest text of one event; longer ones are cut.
const TEXT_CHARS_MAX: usize = 1_000;

/// Handle for whoever has something to tell; clones share it.
#[derive(Clone)]
pub struct Events(Arc<Mutex<Kept>>);

struct Kept {
    folder: PathBuf,
    file: File,
    bytes: u64,
    latest: VecDeque<HubEvent>,
    /// A disk that is full is told of once.
    failed: bool,
}

impl Events {
    /// Goes on with the files in `folder`.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let file = append(&current(folder))?;
        let bytes = file.metadata()?.len();
        let folder = folder.to_owned();
        let kept = Kept { folder, file, bytes, latest: VecDeque::new(), failed: false };
        Ok(Self(Arc::new(Mutex::new(kept))))
    }

    pub fn tell(&self, kind: EventKind, subject: Subject<'_>, text: &str) {
        self.tell_step(kind, subject, None, text);
    }

    /// `step`: the number of instances before and after.
    pub fn tell_step(&self, kind: EventKind, subject: Subject<'_>, step: Option<(u32, u32)>, text: &str) {
        let event = HubEvent {
            at: format!("{:.3}", jiff::Timestamp::now()),
            kind,
            service: subject.service.map(str::to_owned),
            subject: subject.shown.to_owned(),
            from: step.map(|(from, _)| from),
            to: step.map(|(_, to)| to),
            text: text.chars().take(TEXT_CHARS_MAX).collect(),
        };
        self.0.lock().keep(event);
    }

    /// The last changes of the number of instances, newest first.
    pub fn steps(&self, service: &str, most: usize) -> Vec<HubEvent> {
        let kept = self.0.lock();
        let steps = kept.latest.iter().rev().filter(|event| event.kind.is_step());
        steps.filter(|event| event.service.as_deref() == Some(service)).take(most).cloned().collect()
    }
}

impl Kept {
    fn keep(&mut self, event: HubEvent) {
        let written = self.write(&event);
        if let Err(error) = &written
            && !self.failed
        {
            tracing::warn!("cannot write to {}: {error}", current(&self.folder).display());
        }
        self.failed = written.is_err();
        if self.latest.len() >= KEPT_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(event);
    }

    fn write(&mut self, event: &HubEvent) -> io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            fs::rename(current(&self.folder), earlier(&self.folder))?;
            (self.file, self.bytes) = (append(&current(&self.folder))?, 0);
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        // In one write, so that a reader sees whole lines.
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn current(folder: &Path) -> PathBuf {
    folder.join("events.jsonl")
}

fn earlier(folder: &Path) -> PathBuf {
    folder.join("events.1.jsonl")
}
