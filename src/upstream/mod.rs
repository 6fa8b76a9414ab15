//! The way to an instance that speaks HTTP: its address, the connections kept to it, and what is sent on them.
//!
//! A connection is used by one slot of the instance at a time, so that there are never more than slots; between two
//! requests it rests in the pool of the instance, for less time than servers keep such connections open.

mod connection;
mod idle;
mod upload;

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use crate::model::Upstream;

pub use connection::{Connection, Sent};
pub use idle::IdleTimer;
pub use upload::{ClientFault, Fate, Gate, Upload};

/// How long a connection rests before it is closed (design 5): gunicorn keeps one for 2 s, others for longer.
const REST_BOUND: Duration = Duration::from_millis(1500);
/// How long a connection may take to be made. On one machine only a full backlog takes time at all.
const DIAL_BOUND: Duration = Duration::from_secs(5);

/// The connections to one instance, as its slots use them.
#[derive(Debug)]
pub struct Pool {
    upstream: Upstream,
    /// The one used last is at the end.
    resting: RefCell<Vec<Connection>>,
    /// It has answered, and not failed since.
    is_proven: Cell<bool>,
    is_gone: Cell<bool>,
}

impl Pool {
    pub fn new(upstream: Upstream) -> Self {
        let resting = RefCell::default();
        Self { upstream, resting, is_proven: Cell::new(false), is_gone: Cell::new(false) }
    }

    /// A connection from the pool. `is_careful`: one that its server has not closed, as far as the system knows.
    pub fn take(&self, is_careful: bool) -> Option<Connection> {
        let mut resting = self.resting.borrow_mut();
        let now = Instant::now();
        while let Some(connection) = resting.pop() {
            if connection.is_fit(now, REST_BOUND) && (!is_careful || connection.is_open()) {
                return Some(connection);
            }
        }
        None
    }

    /// A connection goes back to the pool.
    pub fn put(&self, mut connection: Connection) {
        if !self.is_gone.get() {
            connection.rest(Instant::now());
            self.resting.borrow_mut().push(connection);
        }
    }

    /// A new connection.
    pub async fn dial(&self) -> io::Result<Connection> {
        match tokio::time::timeout(DIAL_BOUND, Connection::dial(&self.upstream)).await {
            Ok(connection) => connection,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Closes what has rested for too long.
    pub fn sweep(&self, now: Instant) {
        self.resting.borrow_mut().retain(|connection| connection.is_fit(now, REST_BOUND));
    }

    /// The instance is gone: nothing is kept for it any more.
    pub fn end(&self) {
        self.is_gone.set(true);
        self.resting.borrow_mut().clear();
    }

    /// It has answered. True: that is news.
    pub fn prove(&self) -> bool {
        !self.is_proven.replace(true)
    }

    pub fn doubt(&self) {
        self.is_proven.set(false);
    }
}
