//! Messages between the hub and a native worker ↔ their bytes, as docs/protocol.md describes them.
//!
//! Payloads stay unread: `decode` hands each one to a `keep` function, which copies it or takes a slice of the
//! buffer it stands in.

mod channels;
mod fields;
mod options;
mod outside;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rmp::encode;

use crate::model::{CallKey, Outcome, ServiceName};
use crate::protocol::calls::Difference;
pub use channels::{Channels, Inherited, UNTOLD};
use fields::Fields;
pub use options::{CallOptions, IDEMPOTENCY_KEY_MAX};
pub use outside::AskHead;
use write::{array, bin, head, message, ok, outcome, recorded, text, uint};

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
    /// Where in the program it was asked for.
    pub line: Option<Arc<str>>,
    /// What was passed, if that is short; empty: not known.
    pub arguments: Bytes,
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
        /// Of a stream: how many items its caller has, or will have without it.
        yielded: Option<u64>,
        /// It is a batch of so many calls; `arguments` is an array of theirs.
        batch: Option<u32>,
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
    /// Where in the program it is made.
    pub line: Option<Arc<str>>,
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
    pub line: Option<Arc<str>>,
}

/// A memo that the hub makes itself if the call that waits is in no worker when its time comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    pub seq: u32,
    pub ident: u32,
    pub value: Bytes,
    pub after: Duration,
    pub line: Option<Arc<str>>,
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
    /// A batch has ended: an outcome for each of its calls.
    Answers {
        call: CallKey,
        attempt: u32,
        outcomes: Vec<Outcome>,
    },
    /// The same tag: it ended because this replay did something else than an earlier attempt.
    Differs {
        call: CallKey,
        attempt: u32,
        error: Bytes,
        difference: Box<Difference>,
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
    /// An item of a stream, the one of this number from 0 on.
    Item {
        call: CallKey,
        attempt: u32,
        index: u64,
        item: Bytes,
    },
    /// The call takes no more items of the stream of this seq.
    Close {
        call: CallKey,
        attempt: u32,
        seq: u32,
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
            Self::Run { call, attempt, arguments, via, results, id, remaining, yielded, batch } => {
                let fields = if batch.is_some() { 10 } else { 8 + usize::from(yielded.is_some()) };
                message(out, 32, fields, |out| {
                    head(out, *call, *attempt);
                    bin(out, arguments);
                    match via {
                        Some(name) => text(out, name.as_str()),
                        None => ok(encode::write_nil(out)),
                    }
                    array(out, results.len());
                    results.iter().for_each(|result| recorded(out, result));
                    uint(out, PAYLOAD_BYTES_MAX as u64);
                    text(out, id);
                    match remaining {
                        Some(time) => uint(out, u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
                        None => ok(encode::write_nil(out)),
                    }
                    match yielded {
                        Some(yielded) => uint(out, *yielded),
                        None if batch.is_some() => ok(encode::write_nil(out)),
                        None => (),
                    }
                    if let Some(size) = batch {
                        uint(out, u64::from(*size));
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
            | Self::Answers { call, attempt, .. }
            | Self::Differs { call, attempt, .. }
            | Self::Item { call, attempt, .. }
            | Self::Close { call, attempt, .. }
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
            (50, 3..) => {
                let error = fields.payload(keep)?;
                match fields.difference(count > 3)? {
                    Some(difference) => Self::Differs { call, attempt, error, difference },
                    None => Self::Raise { call, attempt, error },
                }
            }
            (51, 2..) => Self::Evicted { call, attempt },
            (52, 7..) => Self::Memo { call, attempt, memo: fields.memo(keep, count > 7)? },
            (53, 2..) => Self::GiveBack { call, attempt },
            (54, 3..) => Self::Summary { call, attempt, text: fields.text()? },
            (56, 3..) => Self::Listen { call, attempt, seqs: fields.seqs()? },
            (57, 6..) => Self::Alarm { call, attempt, alarm: fields.alarm(keep, count > 6)? },
            (58, 4..) => Self::Item { call, attempt, index: fields.uint()?, item: fields.payload(keep)? },
            (59, 3..) => Self::Close { call, attempt, seq: fields.uint32()? },
            (60, 3..) => Self::Answers { call, attempt, outcomes: fields.outcomes(keep)? },
            (48..=54 | 56..=60, _) => return Err(DecodeError::Malformed { tag }),
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
