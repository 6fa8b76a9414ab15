//! Messages between the hub and a native worker ↔ their bytes, as docs/protocol.md describes them.
//!
//! Payloads stay unread: `decode` hands each one to a `keep` function, which copies it or takes a slice of the
//! buffer it stands in.

mod fields;
mod options;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use bytes::Bytes;
use rmp::encode;

use crate::model::{CallKey, Outcome, ServiceName};
use fields::Fields;
pub use options::{CallOptions, IDEMPOTENCY_KEY_MAX};
use write::{array, bin, head, message, ok, outcome, text, uint};

/// The protocol version that this hub speaks.
pub const VERSION: u32 = 1;
/// Largest payload of one message, in bytes (design: 32 MiB by default).
pub const PAYLOAD_BYTES_MAX: usize = 32 << 20;
/// Largest message: a payload and its headers.
pub const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (64 << 10);
/// Bytes before the fields: the length and the tag.
pub const PREFIX_BYTES: usize = 5;

/// A recorded result, as `run` carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub seq: u32,
    pub service: ServiceName,
    pub ident: u32,
    pub outcome: Outcome,
}

/// Hub → worker, on a lane.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    Run {
        call: CallKey,
        attempt: u32,
        arguments: Bytes,
        via: Option<ServiceName>,
        results: Vec<Recorded>,
        /// The public id of the call.
        id: String,
        /// How long its caller still waits.
        remaining: Option<Duration>,
    },
    Resume {
        call: CallKey,
        attempt: u32,
        results: Vec<(u32, Outcome)>,
    },
    Evict {
        call: CallKey,
        attempt: u32,
    },
}

/// Hub → worker, on the control channel.
#[derive(Clone, Debug, PartialEq)]
pub enum ToControl {
    /// Accompanied by one descriptor.
    Lane(u32),
    Ping(u64),
    Interrupt {
        call: CallKey,
        attempt: u32,
        reason: String,
    },
    Drain,
    /// Give back what was sent ahead on this lane and has not begun.
    AskBack(u32),
    /// Accompanied by one descriptor: a file of one number (u64, little endian) per lane, into which the worker writes how
    /// many `run` and `resume` messages of that lane it has begun with. It outlives the worker.
    Tally,
    /// Asks for the stacks of all calls; the number comes back.
    Stacks(u64),
}

/// One child call that a worker asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub seq: u32,
    pub service: String,
    pub ident: u32,
    pub arguments: Bytes,
    pub options: Option<Box<CallOptions>>,
}

/// What a parked call waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// All of the seqs, or any one of them.
    pub all: bool,
    pub seqs: Vec<u32>,
}

/// The result of `msx.run`, to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Memo {
    pub seq: u32,
    pub ident: u32,
    pub outcome: Outcome,
    /// How many results the attempt had been told, or made itself, when this one was made.
    pub known: u32,
}

/// A memo that the hub makes itself if the call that waits is in no worker when its time comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub seq: u32,
    pub ident: u32,
    pub value: Bytes,
    pub after: Duration,
}

/// Worker → hub, on a lane.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    Calls {
        call: CallKey,
        attempt: u32,
        entries: Vec<Entry>,
        wait: Option<Wait>,
    },
    Return {
        call: CallKey,
        attempt: u32,
        value: Bytes,
        /// How long the worker was busy with the call since it last began with it.
        run: Duration,
    },
    Raise {
        call: CallKey,
        attempt: u32,
        error: Bytes,
    },
    Evicted {
        call: CallKey,
        attempt: u32,
    },
    /// A call that was sent ahead and has not begun; it will not.
    GiveBack {
        call: CallKey,
        attempt: u32,
    },
    Memo {
        call: CallKey,
        attempt: u32,
        memo: Memo,
    },
    /// The timer of asyncio that strikes next beside the wait of a parked call.
    Alarm {
        call: CallKey,
        attempt: u32,
        alarm: Alarm,
    },
    /// Threads of the user's own wait for any of these; the call keeps its slot.
    Listen {
        call: CallKey,
        attempt: u32,
        seqs: Vec<u32>,
    },
    /// What the call says that it is about.
    Summary {
        call: CallKey,
        attempt: u32,
        text: String,
    },
}

/// Worker → hub, on the control channel.
#[derive(Clone, Debug, PartialEq)]
pub enum FromControl {
    Hello {
        version: u32,
        sdk: String,
        python: String,
        pid: u32,
        service: String,
        kind: String,
        signature: Bytes,
    },
    Pong(u64),
    Stack {
        call: CallKey,
        attempt: u32,
        text: String,
    },
    /// The answer to [`ToControl::Stacks`].
    Stacks {
        nonce: u64,
        stacks: Vec<TaskStack>,
    },
}

/// Where one lane, or one task of an event loop, is.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStack {
    /// Of the thread or of the task.
    pub name: String,
    /// The call whose code it runs, and its attempt.
    pub call: Option<(CallKey, u32)>,
    /// `running`, `parked` or `idle`.
    pub state: String,
    /// As Python prints it; empty when it is idle.
    pub text: String,
}

/// Why bytes are not a message. The channel they came from is closed.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DecodeError {
    #[error("a message of {0} bytes is larger than the limit of {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    #[error("unknown message tag {0}")]
    UnknownTag(u8),
    #[error("message {tag} ends early or has a field of the wrong type")]
    Malformed { tag: u8 },
}

/// Length of the first whole message in `buffer`, prefix included; `None` while more bytes are needed.
pub fn whole_message(buffer: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some(prefix) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLarge(length));
    }
    if length == 0 {
        return Err(DecodeError::Malformed { tag: 0 });
    }
    Ok((buffer.len() >= 4 + length).then_some(4 + length))
}

impl ToWorker {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Run { call, attempt, arguments, via, results, id, remaining } => {
                message(out, 32, 8, |out| {
                    head(out, *call, *attempt);
                    bin(out, arguments);
                    match via {
                        Some(name) => text(out, name.as_str()),
                        None => ok(encode::write_nil(out)),
                    }
                    array(out, results.len());
                    for result in results {
                        array(out, 5);
                        uint(out, u64::from(result.seq));
                        text(out, result.service.as_str());
                        uint(out, u64::from(result.ident));
                        outcome(out, &result.outcome);
                    }
                    uint(out, PAYLOAD_BYTES_MAX as u64);
                    text(out, id);
                    match remaining {
                        Some(time) => uint(out, u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
                        None => ok(encode::write_nil(out)),
                    }
                })
            }
            Self::Resume { call, attempt, results } => message(out, 33, 3, |out| {
                head(out, *call, *attempt);
                array(out, results.len());
                for (seq, result) in results {
                    array(out, 3);
                    uint(out, u64::from(*seq));
                    outcome(out, result);
                }
            }),
            Self::Evict { call, attempt } => message(out, 34, 2, |out| head(out, *call, *attempt)),
        }
    }
}

impl ToControl {
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Lane(lane) => message(out, 16, 1, |out| uint(out, u64::from(*lane))),
            Self::Ping(nonce) => message(out, 17, 1, |out| uint(out, *nonce)),
            Self::Interrupt { call, attempt, reason } => message(out, 18, 3, |out| {
                head(out, *call, *attempt);
                text(out, reason);
            }),
            Self::Drain => message(out, 19, 0, |_| ()),
            Self::AskBack(lane) => message(out, 20, 1, |out| uint(out, u64::from(*lane))),
            Self::Tally => message(out, 21, 0, |_| ()),
            Self::Stacks(nonce) => message(out, 22, 1, |out| uint(out, *nonce)),
        }
    }
}

impl FromWorker {
    /// The call that it is about, and which attempt of it.
    pub fn head(&self) -> (CallKey, u32) {
        match self {
            Self::Calls { call, attempt, .. }
            | Self::Return { call, attempt, .. }
            | Self::Raise { call, attempt, .. }
            | Self::Evicted { call, attempt }
            | Self::GiveBack { call, attempt }
            | Self::Memo { call, attempt, .. }
            | Self::Alarm { call, attempt, .. }
            | Self::Listen { call, attempt, .. }
            | Self::Summary { call, attempt, .. } => (*call, *attempt),
        }
    }

    /// Reads one whole message, prefix included.
    pub fn decode(message: &[u8], keep: &dyn Fn(&[u8]) -> Bytes) -> Result<Self, DecodeError> {
        let tag = tag_of(message)?;
        let mut fields = Fields { tag, rest: &message[PREFIX_BYTES..] };
        let count = fields.array()?;
        let call = CallKey(fields.uint()?);
        let attempt = fields.uint32()?;
        let decoded = match (tag, count) {
            (48, 4..) => Self::Calls { call, attempt, entries: fields.entries(keep)?, wait: fields.wait()? },
            (49, 4..) => Self::Return {
                call,
                attempt,
                value: fields.payload(keep)?,
                run: Duration::from_micros(fields.uint()?),
            },
            (50, 3..) => Self::Raise { call, attempt, error: fields.payload(keep)? },
            (51, 2..) => Self::Evicted { call, attempt },
            (52, 7..) => Self::Memo { call, attempt, memo: fields.memo(keep)? },
            (53, 2..) => Self::GiveBack { call, attempt },
            (54, 3..) => Self::Summary { call, attempt, text: fields.text()? },
            (56, 3..) => Self::Listen { call, attempt, seqs: fields.seqs()? },
            (57, 6..) => Self::Alarm { call, attempt, alarm: fields.alarm(keep)? },
            (48..=54 | 56..=57, _) => return Err(DecodeError::Malformed { tag }),
            _ => return Err(DecodeError::UnknownTag(tag)),
        };
        Ok(decoded)
    }
}

impl FromControl {
    /// Reads one whole message, prefix included.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let tag = tag_of(message)?;
        let mut fields = Fields { tag, rest: &message[PREFIX_BYTES..] };
        let decoded = match (tag, fields.array()?) {
            (1, 7..) => Self::Hello {
                version: fields.uint32()?,
                sdk: fields.text()?,
                python: fields.text()?,
                pid: fields.uint32()?,
                service: fields.text()?,
                kind: fields.text()?,
                signature: fields.payload(&Bytes::copy_from_slice)?,
            },
            (2, 1..) => Self::Pong(fields.uint()?),
            (3, 3..) => {
                Self::Stack { call: CallKey(fields.uint()?), attempt: fields.uint32()?, text: fields.text()? }
            }
            (4, 2..) => Self::Stacks { nonce: fields.uint()?, stacks: fields.stacks()? },
            (1..=4, _) => return Err(DecodeError::Malformed { tag }),
            _ => return Err(DecodeError::UnknownTag(tag)),
        };
        Ok(decoded)
    }
}

fn tag_of(message: &[u8]) -> Result<u8, DecodeError> {
    message.get(PREFIX_BYTES - 1).copied().ok_or(DecodeError::Malformed { tag: 0 })
}
