//! The writing end: one thread that owns every file, behind a bounded channel.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;
use nix::unistd::{AccessFlags, access};
use tokio::sync::{mpsc, oneshot};

use super::pump::Pump;
use super::record::{self, Stream};
use super::{BATCHES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX, segments};
use crate::model::ServiceName;

/// Takes the output of instances. Clones share the thread; it ends with the last of them and their pumps.
#[derive(Clone)]
pub struct LogStore {
    sender: mpsc::Sender<Message>,
}

pub(super) enum Message {
    /// Lines for the files of a service.
    Lines(Batch),
    /// Answered when everything before it is in the files.
    Flush(oneshot::Sender<()>),
}

/// What one read of a pipe became.
pub(super) struct Batch {
    pub service: ServiceName,
    pub instance: Arc<str>,
    pub bytes: Vec<u8>,
    pub lines: u64,
    /// Lines of this pipe that were dropped before these, because the disk was too slow.
    pub dropped: u64,
}

impl LogStore {
    /// Keeps its files under `root`, which is `.msx/logs`.
    pub fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        // Told now: later, lines that cannot be written are only counted.
        access(root, AccessFlags::W_OK | AccessFlags::X_OK)?;
        let (sender, receiver) = mpsc::channel(BATCHES_MAX);
        let mut writer = Writer { root: root.to_path_buf(), appenders: HashMap::new() };
        thread::Builder::new().name("msx-logs".into()).spawn(move || writer.run(receiver))?;
        Ok(Self { sender })
    }

    /// Copies both pipes of an instance line by line until they end. Needs a tokio runtime.
    pub fn pump(&self, service: &ServiceName, instance: &str, stdout: OwnedFd, stderr: OwnedFd) -> Pump {
        Pump::start(self.sender.clone(), service, instance, stdout, stderr)
    }
}

struct Writer {
    root: PathBuf,
    appenders: HashMap<ServiceName, Appender>,
}

impl Writer {
    fn run(&mut self, mut receiver: mpsc::Receiver<Message>) {
        while let Some(message) = receiver.blocking_recv() {
            match message {
                Message::Lines(batch) => self.appender(&batch.service).append(&batch),
                Message::Flush(done) => {
                    // The asker may have stopped waiting.
                    let _ = done.send(());
                }
            }
        }
    }

    fn appender(&mut self, service: &ServiceName) -> &mut Appender {
        let folder = || segments::folder(&self.root, service.as_str());
        self.appenders.entry(service.clone()).or_insert_with(|| Appender::new(folder()))
    }
}

/// The newest segment of one service.
struct Appender {
    folder: PathBuf,
    segment: Option<Segment>,
    /// Lines lost since the last note about it, and why.
    dropped: u64,
    reason: String,
}

struct Segment {
    file: File,
    number: u64,
    len: u64,
}

impl Appender {
    fn new(folder: PathBuf) -> Self {
        Self { folder, segment: None, dropped: 0, reason: String::new() }
    }

    /// Never fails: what cannot be written is counted, and the count is written when that works again.
    fn append(&mut self, batch: &Batch) {
        if batch.dropped > 0 {
            self.lose(batch.dropped, "the disk was too slow");
        }
        let note = self.note(&batch.instance);
        match self.write(&[note.as_slice(), &batch.bytes].concat()) {
            Ok(()) => self.dropped = 0,
            Err(e) => self.lose(batch.lines, &e.to_string()),
        }
    }

    fn lose(&mut self, lines: u64, reason: &str) {
        self.dropped += lines;
        self.reason = reason.to_owned();
    }

    fn note(&self, instance: &str) -> Vec<u8> {
        let mut note = Vec::new();
        if self.dropped > 0 {
            let text = format!("{} lines were dropped: {}", self.dropped, self.reason);
            record::encode(
                &mut note,
                &record::stamp(Timestamp::now()),
                instance,
                Stream::Store,
                text.as_bytes(),
            );
        }
        note
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut segment = match self.segment.take() {
            Some(segment) if segment.len < SEGMENT_BYTES_MAX => segment,
            Some(full) => self.next(full.number + 1)?,
            None => self.open()?,
        };
        // One that failed is opened anew: whatever it ends with then is seen.
        segment.write(bytes)?;
        self.segment = Some(segment);
        Ok(())
    }

    /// Goes on where the last hub stopped.
    fn open(&self) -> io::Result<Segment> {
        fs::create_dir_all(&self.folder)?;
        match segments::list(&self.folder)?.last() {
            Some(number) => Segment::open(&self.folder, *number),
            None => Segment::open(&self.folder, 1),
        }
    }

    /// Begins a segment and removes the oldest ones beyond the bound.
    fn next(&self, number: u64) -> io::Result<Segment> {
        let segment = Segment::open(&self.folder, number)?;
        let numbers = segments::list(&self.folder)?;
        for old in numbers.iter().rev().skip(SEGMENTS_MAX) {
            match fs::remove_file(segments::path(&self.folder, *old)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(segment)
    }
}

impl Segment {
    fn open(folder: &Path, number: u64) -> io::Result<Self> {
        let path = segments::path(folder, number);
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let len = file.metadata()?.len();
        let mut segment = Self { len, number, file: file.try_clone()? };
        if len > 0 && last_byte(&mut file)? != b'\n' {
            // A hub died in the middle of a write.
            segment.write(b"\n")?;
        }
        Ok(segment)
    }

    /// All of it or nothing: half a line would be taken for a whole one.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        match written {
            Ok(()) => self.len += bytes.len() as u64,
            // What cannot be cut off is a line without its end, which the next one to open the file sees.
            Err(_) => drop(self.file.set_len(self.len)),
        }
        written
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
