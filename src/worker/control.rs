//! The control channel of one instance: messages in order, some with a descriptor.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use bytes::BytesMut;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::{each_message, make_room};
use crate::protocol::worker::{FromControl, ToControl};

/// See the module.
pub struct Control {
    stream: UnixStream,
    out: RefCell<VecDeque<(Vec<u8>, Option<OwnedFd>)>>,
    blocked: Cell<bool>,
}

impl Control {
    pub fn new(stream: UnixStream) -> Rc<Self> {
        Rc::new(Self { stream, out: RefCell::default(), blocked: Cell::new(false) })
    }

    /// Sends a message, now or as soon as the socket takes it. A broken socket is noticed by the reader.
    pub fn send(self: &Rc<Self>, message: &ToControl, descriptor: Option<OwnedFd>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.out.borrow_mut().push_back((bytes, descriptor));
        if !self.blocked.get() && self.write().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.blocked.set(true);
            tokio::task::spawn_local(self.clone().write_slowly());
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut out = self.out.borrow_mut();
        while let Some((bytes, descriptor)) = out.front_mut() {
            let count =
                self.stream.try_io(Interest::WRITABLE, || self.send_now(bytes, descriptor.as_ref()))?;
            // The descriptor went with the first byte.
            *descriptor = None;
            bytes.drain(..count);
            if bytes.is_empty() {
                out.pop_front();
            }
        }
        Ok(())
    }

    fn send_now(&self, bytes: &[u8], descriptor: Option<&OwnedFd>) -> io::Result<usize> {
        let descriptors = descriptor.map(|descriptor| [descriptor.as_raw_fd()]);
        let rights = descriptors.as_ref().map(|descriptors| ControlMessage::ScmRights(descriptors));
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let slices = [IoSlice::new(bytes)];
        Ok(sendmsg::<()>(self.stream.as_raw_fd(), &slices, rights.as_slice(), flags, None)?)
    }

    /// The worker is gone: what was not sent is dropped, and with it the worker's ends of lanes.
    pub fn abandon(&self) {
        self.out.borrow_mut().clear();
    }

    async fn write_slowly(self: Rc<Self>) {
        while self.stream.writable().await.is_ok() {
            match self.write() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                _ => break,
            }
        }
        self.blocked.set(false);
    }

    /// Serves the reading end until it closes. Answers why it ended; `None`: the worker closed it.
    pub async fn read(self: Rc<Self>, handle: impl Fn(FromControl)) -> Option<String> {
        let mut buffer = BytesMut::new();
        loop {
            if let Err(error) = self.stream.readable().await {
                return Some(format!("the control channel failed: {error}"));
            }
            make_room(&mut buffer);
            match self.stream.try_read_buf(&mut buffer) {
                Ok(0) => return None,
                Ok(_) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => return Some(format!("reading the control channel failed: {error}")),
            }
            let result = each_message(&mut buffer, |message, _| {
                handle(FromControl::decode(message)?);
                Ok(())
            });
            if let Err(error) = result {
                return Some(format!("it sent garbage on its control channel: {error}"));
            }
        }
    }
}
