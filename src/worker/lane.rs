//! One lane: gathers what is to be written, and reads messages in batches.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::{KEPT_BYTES, each_message, make_room};
use crate::protocol::worker::{FromWorker, ToWorker};

/// The writing end of a lane.
pub struct Lane {
    writer: OwnedWriteHalf,
    out: RefCell<Vec<u8>>,
    /// How much of `out` is written already.
    written: Cell<usize>,
    /// A task is already waiting until the socket takes more.
    blocked: Cell<bool>,
}

impl Lane {
    /// Splits a stream: the lane, and the half that `read` serves.
    pub fn new(stream: UnixStream) -> (Rc<Self>, OwnedReadHalf) {
        let (reader, writer) = stream.into_split();
        let lane = Self { writer, out: RefCell::default(), written: Cell::new(0), blocked: Cell::new(false) };
        (Rc::new(lane), reader)
    }

    /// Adds a message to the next write. True if a flush is due now, which nobody else has asked for yet.
    pub fn push(&self, message: &ToWorker) -> bool {
        let mut out = self.out.borrow_mut();
        let was_empty = out.is_empty();
        message.encode(&mut out);
        was_empty && !self.blocked.get()
    }

    /// Writes what was gathered. What the socket does not take now is written by a task as soon as it does.
    /// A broken socket is noticed by the reader.
    pub fn flush(self: &Rc<Self>) {
        if self.write().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.blocked.set(true);
            tokio::task::spawn_local(self.clone().flush_slowly());
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut out = self.out.borrow_mut();
        let mut written = self.written.get();
        let result = loop {
            if written == out.len() {
                break Ok(());
            }
            match self.writer.try_write(&out[written..]) {
                Ok(count) => written += count,
                Err(error) => break Err(error),
            }
        };
        // Moving the rest to the front must not cost more than writing what was before it did.
        if written >= out.len() - written {
            out.drain(..written);
            written = 0;
        }
        if out.is_empty() {
            out.shrink_to(KEPT_BYTES);
        }
        self.written.set(written);
        result
    }

    async fn flush_slowly(self: Rc<Self>) {
        while self.writer.writable().await.is_ok() {
            match self.write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                _ => break,
            }
        }
        self.blocked.set(false);
    }
}

/// Serves the reading end of a lane until it closes: each read's messages are handed over together.
/// Answers why it ended; `None`: the worker closed it.
pub async fn read(mut reader: OwnedReadHalf, handle: impl Fn(&mut Vec<FromWorker>)) -> Option<String> {
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    loop {
        make_room(&mut buffer);
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return None,
            Ok(_) => (),
            // It closed its end with something of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
            Err(error) => return Some(format!("reading a lane failed: {error}")),
        }
        let result = each_message(&mut buffer, |message, keep| {
            messages.push(FromWorker::decode(message, keep)?);
            Ok(())
        });
        if !messages.is_empty() {
            handle(&mut messages);
            messages.clear();
        }
        if let Err(error) = result {
            return Some(format!("it sent garbage on a lane: {error}"));
        }
    }
}
