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

/// In the environment of a `Spawn`, without a value: the child's own process id takes its place.
pub const LISTEN_PID: &str = "LISTEN_PID";

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

impl ExitStatus {
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = ByteBuf> {
        any::<Vec<u8>>().prop_map(ByteBuf::from)
    }

    fn request() -> impl Strategy<Value = Request> {
        let (argv, env) =
            (prop::collection::vec(text(), 0..4), prop::collection::vec((text(), text()), 0..4));
        let spawn = (any::<u64>(), argv, env, text(), any::<Vec<i32>>())
            .prop_map(|(process, argv, env, cwd, fds)| Request::Spawn { process, argv, env, cwd, fds });
        let signal = any::<(u64, i32)>().prop_map(|(process, signal)| Request::Signal { process, signal });
        prop_oneof![spawn, signal]
    }

    fn event() -> impl Strategy<Value = Event> {
        let status =
            prop_oneof![any::<i32>().prop_map(ExitStatus::Code), any::<i32>().prop_map(ExitStatus::Signal)];
        prop_oneof![
            any::<(u64, u32)>().prop_map(|(process, pid)| Event::Spawned { process, pid }),
            any::<(u64, String, i32)>().prop_map(|(process, step, errno)| Event::Failed {
                process,
                step,
                errno
            }),
            (any::<u64>(), status).prop_map(|(process, status)| Event::Exited { process, status }),
            any::<u64>().prop_map(|process| Event::Emptied { process }),
        ]
    }

    /// Encodes all, delivers the bytes in pieces of this size, and returns what arrives.
    fn deliver<T: Serialize + DeserializeOwned>(messages: &[T], piece: usize) -> Vec<T> {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
        let mut decoder = Decoder::default();
        bytes.chunks(piece).flat_map(|piece| decoder.push(piece).unwrap()).collect()
    }

    /// Feeds bytes until they are refused; the decoder keeps no more than it was given.
    fn feed<T: DeserializeOwned>(bytes: &[u8], piece: usize) {
        let mut decoder = Decoder::<T>::default();
        for piece in bytes.chunks(piece) {
            if decoder.push(piece).is_err() {
                return;
            }
        }
        assert!(decoder.bytes.len() <= bytes.len());
    }

    proptest! {
        #[test]
        fn requests_arrive_as_sent(messages in prop::collection::vec(request(), 0..5), piece in 1_usize..50) {
            prop_assert_eq!(deliver(&messages, piece), messages);
        }

        #[test]
        fn events_arrive_as_sent(messages in prop::collection::vec(event(), 0..5), piece in 1_usize..50) {
            prop_assert_eq!(deliver(&messages, piece), messages);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>(), piece in 1_usize..50) {
            feed::<Request>(&bytes, piece);
            feed::<Event>(&bytes, piece);
        }

        #[test]
        fn any_body_with_a_right_length_is_read_or_refused(body in any::<Vec<u8>>()) {
            let bytes = [&(body.len() as u32).to_le_bytes(), body.as_slice()].concat();
            feed::<Request>(&bytes, bytes.len());
            feed::<Event>(&bytes, bytes.len());
        }

        #[test]
        fn a_damaged_message_is_read_or_refused(message in request(), at in any::<usize>(), byte in any::<u8>()) {
            let mut bytes = encode(&message).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            feed::<Request>(&bytes, bytes.len());
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_at_once() {
        let mut decoder = Decoder::<Request>::default();
        let refused = decoder.push(&u32::MAX.to_le_bytes()).unwrap_err();
        assert_eq!(refused.to_string(), "a guard message of 4294967295 bytes is longer than 8388608");
        let message = Request::Spawn {
            process: 1,
            argv: vec![ByteBuf::from(vec![b'x'; MESSAGE_BYTES_MAX])],
            env: vec![],
            cwd: ByteBuf::new(),
            fds: vec![],
        };
        assert!(matches!(encode(&message), Err(Malformed::TooLong(_))));
    }

    #[test]
    fn a_status_reads_as_people_say_it() {
        assert_eq!(ExitStatus::Code(1).to_string(), "exit status 1");
        assert_eq!(ExitStatus::Signal(9).to_string(), "killed by SIGKILL");
        assert_eq!(ExitStatus::Signal(34).to_string(), "killed by signal 34");
    }
}
