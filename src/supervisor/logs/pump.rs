//! From the two pipes of an instance to the store's channel, with the last lines kept for the reason of a crash.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::lines::Lines;
use super::record::{self, Splitter, Stream};
use super::store::{Batch, Message};
use super::{FLUSH_MAX, READ_BYTES, STALL_MAX};
use crate::model::ServiceName;

/// The output of one process. It goes on without this handle until the pipes end.
pub struct Pump {
    lines: Lines,
    tasks: TaskTracker,
}

impl Pump {
    pub(super) fn start(
        sender: mpsc::Sender<Message>,
        service: &ServiceName,
        instance: &str,
        stdout: OwnedFd,
        stderr: OwnedFd,
    ) -> Self {
        let (lines, tasks) = (Lines::default(), TaskTracker::new());
        for (stream, pipe) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            let outlet = Outlet {
                sender: sender.clone(),
                service: service.clone(),
                instance: Arc::from(instance),
                stream,
                lines: lines.clone(),
                dropped: 0,
            };
            // Spawned even when there is nothing to read: the reason goes into the log.
            tasks.spawn(outlet.run(Receiver::from_owned_fd(pipe)));
        }
        tasks.close();
        Self { lines, tasks }
    }

    /// The newest lines of both pipes.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Both pipes have ended and what they carried is in the files. A grandchild may hold a pipe open: bound the wait.
    pub async fn finished(&self) {
        self.tasks.wait().await;
    }
}

/// One pipe.
struct Outlet {
    sender: mpsc::Sender<Message>,
    service: ServiceName,
    instance: Arc<str>,
    stream: Stream,
    lines: Lines,
    /// Lines dropped since the last batch that the store took; while it is not 0, a full channel is not waited for.
    dropped: u64,
}

impl Outlet {
    async fn run(mut self, pipe: io::Result<Receiver>) {
        // So that the service has a folder before it prints anything.
        self.deliver(Vec::new(), 0).await;
        if let Err(e) = self.copy(pipe).await {
            let (mut bytes, text) = (Vec::new(), format!("the output of this instance cannot be read: {e}"));
            record::encode(&mut bytes, &now(), &self.instance, Stream::Store, text.as_bytes());
            self.deliver(bytes, 1).await;
        }
        self.flush().await;
    }

    async fn copy(&mut self, pipe: io::Result<Receiver>) -> io::Result<()> {
        let (mut pipe, mut splitter, mut buffer) = (pipe?, Splitter::default(), vec![0; READ_BYTES]);
        loop {
            let read = pipe.read(&mut buffer).await?;
            let (stamp, mut bytes, mut lines) = (now(), Vec::new(), 0);
            let mut emit = |line: &[u8]| {
                record::encode(&mut bytes, &stamp, &self.instance, self.stream, line);
                self.lines.add(line);
                lines += 1;
            };
            match read {
                0 => splitter.finish(&mut emit),
                _ => splitter.feed(&buffer[..read], &mut emit),
            }
            if lines > 0 {
                self.deliver(bytes, lines).await;
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Hands a batch over; gives a full channel one chance of `STALL_MAX`, then drops until there is room again.
    async fn deliver(&mut self, bytes: Vec<u8>, lines: u64) {
        let (service, instance) = (self.service.clone(), self.instance.clone());
        let batch = Message::Lines(Batch { service, instance, bytes, lines, dropped: self.dropped });
        let taken = match self.sender.try_send(batch) {
            Ok(()) => true,
            Err(TrySendError::Full(batch)) if self.dropped == 0 => {
                matches!(timeout(STALL_MAX, self.sender.send(batch)).await, Ok(Ok(())))
            }
            Err(_) => false,
        };
        self.dropped = if taken { 0 } else { self.dropped + lines };
    }

    async fn flush(&mut self) {
        let (done, written) = oneshot::channel();
        let flushed = async {
            if self.dropped > 0 {
                let (service, instance) = (self.service.clone(), self.instance.clone());
                let batch = Batch { service, instance, bytes: Vec::new(), lines: 0, dropped: self.dropped };
                let _ = self.sender.send(Message::Lines(batch)).await;
            }
            if self.sender.send(Message::Flush(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        let _ = timeout(FLUSH_MAX, flushed).await;
    }
}

fn now() -> String {
    record::stamp(Timestamp::now())
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};
    use std::thread;

    use super::*;

    /// The disk is a channel that nobody empties until the child has printed everything.
    #[tokio::test]
    async fn a_slow_disk_holds_a_child_up_for_a_bounded_time_and_every_line_is_accounted_for() {
        let (sender, mut receiver) = mpsc::channel(6);
        let ((out, mut stdout), (err, stderr)) = (pipe().unwrap(), pipe().unwrap());
        let pump = Pump::start(sender, &ServiceName::new("m.a"), "a-1", out.into(), err.into());
        const LINES: u64 = 100_000;
        let child = thread::spawn(move || {
            for n in 0..LINES {
                writeln!(stdout, "{n}").unwrap();
            }
            drop((stdout, stderr));
        });
        while !child.is_finished() {
            tokio::time::sleep(READ_PAUSE).await;
        }
        let (mut written, mut dropped) = (0, 0);
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Lines(batch) => {
                    (written, dropped) = (written + batch.lines, dropped + batch.dropped)
                }
                Message::Flush(done) => drop(done.send(())),
            }
        }
        pump.finished().await;
        assert_eq!(written + dropped, LINES);
        assert!(dropped > 0 && written > 0, "{written} written, {dropped} dropped");
    }

    const READ_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);
}
