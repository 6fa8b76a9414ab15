//! One instance's connection to the hub. Belongs to the shard's thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::task::{AbortHandle, JoinHandle, spawn_local};

use super::control::Control;
use super::lane::{self, Lane};
use super::tally::Tally;
use crate::model::InstanceId;
use crate::protocol::worker::{Channels, FromControl, FromWorker, Inherited, ToControl, ToWorker};

/// What a link tells upwards.
pub struct LinkHandlers {
    /// The messages of one read of a lane.
    pub messages: Box<dyn Fn(InstanceId, u32, &mut Vec<FromWorker>)>,
    pub control: Box<dyn Fn(InstanceId, FromControl)>,
    /// The worker closed a channel (`None`) or broke the protocol: it cannot go on.
    pub closed: Box<dyn Fn(InstanceId, Option<String>)>,
}

/// How long a worker may leave a ping unanswered (design: `run_timeout`'s default; a C extension may hold the GIL).
const PONG_BOUND: Duration = Duration::from_secs(30);

/// How long the last words of a process that is gone may take.
const END_BOUND: Duration = Duration::from_millis(200);

/// See the module.
pub struct Link {
    id: InstanceId,
    control: Rc<Control>,
    tally: Tally,
    handlers: Rc<LinkHandlers>,
    /// The lane that the worker was started with, until it is opened.
    inherited: RefCell<Option<OwnedFd>>,
    lanes: RefCell<Vec<Rc<Lane>>>,
    /// Those that serve the lanes, in their order.
    readers: RefCell<Vec<JoinHandle<()>>>,
    listener: Cell<Option<AbortHandle>>,
    is_closed: Cell<bool>,
    pinged: Cell<Option<Instant>>,
}

impl Link {
    /// Serves the hub's ends of the channels to a worker that will have `lanes` lanes at most. Must be called on a
    /// `LocalSet`.
    pub fn new(
        id: InstanceId,
        channels: Channels,
        lanes: usize,
        handlers: Rc<LinkHandlers>,
    ) -> io::Result<Rc<Self>> {
        let control = Control::new(adopt(channels.control.into())?);
        let (tally, inherited) = match channels.inherited {
            Some(Inherited { lane, tally }) => (Tally::inherited(tally), Some(lane)),
            None => {
                let tally = Tally::new(lanes)?;
                control.send(&ToControl::Tally, Some(tally.share()?));
                (tally, None)
            }
        };
        let link = Rc::new(Self {
            id,
            control: control.clone(),
            tally,
            handlers: handlers.clone(),
            inherited: RefCell::new(inherited),
            lanes: RefCell::default(),
            readers: RefCell::default(),
            listener: Cell::default(),
            is_closed: Cell::default(),
            pinged: Cell::new(None),
        });
        let weak = Rc::downgrade(&link);
        let task = spawn_local(async move {
            let read = control.read(|message| match message {
                FromControl::Pong(_) => {
                    if let Some(link) = weak.upgrade() {
                        link.pinged.set(None);
                    }
                }
                message => (handlers.control)(id, message),
            });
            let why = read.await;
            if let Some(link) = weak.upgrade() {
                link.tell_closed(why);
            }
        });
        link.listener.set(Some(task.abort_handle()));
        Ok(link)
    }

    /// Once: the other channels close with the first.
    fn tell_closed(&self, why: Option<String>) {
        if !self.is_closed.replace(true) {
            (self.handlers.closed)(self.id, why);
        }
    }

    /// The process is gone: hears what it still said, and answers how many messages of each lane it had begun with.
    pub async fn end(&self) -> Vec<u64> {
        self.control.abandon();
        let readers = self.readers.take();
        let heard = async {
            for reader in readers {
                // One that panicked has been heard as far as possible.
                let _ = reader.await;
            }
        };
        // Only a process that inherited the lanes can keep them open.
        let _ = tokio::time::timeout(END_BOUND, heard).await;
        self.tally.read()
    }

    /// Opens the next lane; messages may be pushed at once.
    pub fn open_lane(self: &Rc<Self>, number: u32) -> io::Result<()> {
        let (ours, theirs) = self.lane_pair()?;
        let (lane, reader) = Lane::new(adopt(ours)?);
        // A number out of order would send one call's messages to another's thread.
        if self.lanes.borrow().len() != number as usize {
            return Err(io::Error::other(format!("lane {number} is out of order")));
        }
        self.lanes.borrow_mut().push(lane);
        if let Some(theirs) = theirs {
            self.control.send(&ToControl::Lane(number), Some(theirs.into()));
        }
        let (id, handlers, weak) = (self.id, self.handlers.clone(), Rc::downgrade(self));
        let reader = spawn_local(async move {
            let why = lane::read(reader, |messages| (handlers.messages)(id, number, messages)).await;
            if let Some(link) = weak.upgrade() {
                link.tell_closed(why);
            }
        });
        self.readers.borrow_mut().push(reader);
        Ok(())
    }

    /// Our end of a lane, and the worker's unless it has it since its start.
    fn lane_pair(&self) -> io::Result<(StdUnixStream, Option<StdUnixStream>)> {
        match self.inherited.take() {
            Some(ours) => Ok((ours.into(), None)),
            None => StdUnixStream::pair().map(|(ours, theirs)| (ours, Some(theirs))),
        }
    }

    /// Adds a message to a lane's next write and answers the lane if it is to be flushed.
    pub fn push(&self, lane: u32, message: &ToWorker) -> Option<Rc<Lane>> {
        let lanes = self.lanes.borrow();
        let lane = lanes.get(lane as usize)?;
        lane.push(message).then(|| lane.clone())
    }

    pub fn send(&self, message: &ToControl) {
        self.control.send(message, None);
    }

    /// Asks for a sign of life. False: the last one was not given in time.
    pub fn ping(&self, now: Instant) -> bool {
        match self.pinged.get() {
            Some(asked) => now.saturating_duration_since(asked) < PONG_BOUND,
            None => {
                self.pinged.set(Some(now));
                self.send(&ToControl::Ping(0));
                true
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.take().inspect(AbortHandle::abort);
        self.readers.borrow().iter().for_each(JoinHandle::abort);
    }
}

fn adopt(stream: StdUnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
