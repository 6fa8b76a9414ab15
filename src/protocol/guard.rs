//! What the hub and its guard say to each other: length-prefixed MessagePack over a stream socket.
//!
//! A stream, because a command line with its environment may be larger than a datagram. Descriptors travel with
//! the first byte of the `Spawn` that names them; the socket keeps their order, so a receiver takes them from
//! one queue. Texts are bytes: an argument or a variable need not be UTF-8.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Longest message: above what Linux accepts as arguments and environment of a program (6 MiB).
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;

const PREFIX_BYTES: usize = 4;

/// Hub to guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Start a program as the leader of a new process group. `process` is the hub's number for it.
    Spawn {
        process: u64,
        argv: Vec<ByteBuf>,
        env: Vec<(ByteBuf, ByteBuf)>,
        cwd: ByteBuf,
        /// Numbers in the child of the descriptors that come along, in their order.
        fds: Vec<i32>,
    },
    /// Signal the whole group; nothing happens when it is gone.
    Signal { process: u64, signal: i32 },
}

/// Guard to hub. A process is `Spawned`, `Exited`, `Emptied` in this order, or `Failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Spawned {
        process: u64,
        pid: u32,
    },
    /// It never ran.
    Failed {
        process: u64,
        step: String,
        errno: i32,
    },
    /// The leader ended; members of its group may live on.
    Exited {
        process: u64,
        status: ExitStatus,
    },
    /// No member of the group is left, and the leader is reaped.
    Emptied {
        process: u64,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// The bytes are not what the other side of the same program can have sent, or a message is too long to be sent.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("a guard message of {0} bytes is longer than {MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    #[error("a guard message cannot be read: {0}")]
    Unreadable(#[from] rmp_serde::decode::Error),
    #[error("a guard message cannot be written: {0}")]
    Unwritable(#[from] rmp_serde::encode::Error),
}

/// One message as bytes, its length before it.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, Malformed> {
    let mut bytes = vec![0; PREFIX_BYTES];
    rmp_serde::encode::write(&mut bytes, message)?;
    let length = bytes.len() - PREFIX_BYTES;
    if length > MESSAGE_BYTES_MAX {
        return Err(Malformed::TooLong(length));
    }
    bytes[..PREFIX_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Cuts a byte stream into messages.
pub struct Decoder<T> {
    bytes: Vec<u8>,
    message: PhantomData<T>,
}

impl<T> Default for Decoder<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), message: PhantomData }
    }
}

impl<T: DeserializeOwned> Decoder<T> {
    /// Takes what was read and returns the messages that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<T>, Malformed> {
        self.bytes.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((message, after)) = split(rest)? {
            messages.push(rmp_serde::from_slice(message)?);
            rest = after;
        }
        let used = self.bytes.len() - rest.len();
        self.bytes.drain(..used);
        Ok(messages)
    }
}

/// The first message and what follows it; `None`: it is not complete.
fn split(bytes: &[u8]) -> Result<Option<(&[u8], &[u8])>, Malformed> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(Malformed::TooLong(length));
    }
    Ok(rest.split_at_checked(length))
}
