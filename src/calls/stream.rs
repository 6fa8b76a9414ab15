//! The items of one stream on their way from the call that yields them to whoever takes them.

use std::collections::VecDeque;

use bytes::Bytes;
use rmp::{decode, encode};

use crate::model::Outcome;

/// Items of one pull at most, and their bytes (the last one may go beyond): what a caller gets at once, and has recorded
/// as one result.
const PULL_ITEMS_MAX: usize = 64;
const PULL_BYTES_MAX: usize = 256 * 1024;
/// A stream that has asked for room waits as long as more than this is here.
const ROOM_ITEMS: usize = 32;
const ROOM_BYTES: usize = 128 * 1024;
/// A worker asks for room after 64 items or 256 KiB. One that holds no rule is not to fill the hub's memory; each of
/// up to 100 retries may add what it sends before it asks.
const ITEMS_MAX: usize = 8 * 1024;
const BYTES_MAX: usize = 96 << 20;

/// See the module.
#[derive(Debug, Default)]
pub struct Stream {
    /// How many items have come, those that a retried caller has from before included.
    pub received: u64,
    items: VecDeque<Bytes>,
    bytes: usize,
    /// Seqs in its caller that wait for items.
    pub pulls: VecDeque<u32>,
    /// The seq in itself that waits for room.
    pub room: Option<u32>,
    /// No more items will come.
    pub is_over: bool,
    /// Its caller has left it, and what it had not taken is gone.
    pub is_closed: bool,
    /// Of a root: who asked. Items go there at once, and are here until they are taken there.
    pub token: Option<u64>,
}

impl Stream {
    /// One of which so many items are not to come again; `token`: it is a root.
    pub fn new(received: u64, token: Option<u64>) -> Self {
        Self { received, token, ..Self::default() }
    }

    /// False: there is no room for it.
    pub fn push(&mut self, item: Bytes) -> bool {
        self.received += 1;
        self.bytes += item.len();
        self.items.push_back(item);
        self.items.len() <= ITEMS_MAX && (self.bytes <= BYTES_MAX || self.items.len() == 1)
    }

    pub fn has_room(&self) -> bool {
        self.items.len() <= ROOM_ITEMS && self.bytes <= ROOM_BYTES
    }

    /// Its caller takes no more; answers the pulls that still wait.
    pub fn close(&mut self) -> VecDeque<u32> {
        (self.is_over, self.is_closed, self.bytes) = (true, true, 0);
        self.items.clear();
        std::mem::take(&mut self.pulls)
    }

    pub fn pop(&mut self) -> Option<Bytes> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len();
        Some(item)
    }

    /// The oldest pull with its answer, if there is something to answer it with.
    pub fn serve(&mut self) -> Option<(u32, Outcome)> {
        if self.items.is_empty() && !self.is_over {
            return None;
        }
        let seq = self.pulls.pop_front()?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < PULL_ITEMS_MAX && bytes < PULL_BYTES_MAX {
            let Some(item) = self.pop() else { break };
            bytes += item.len();
            batch.push(item);
        }
        Some((seq, answer(self.is_over && self.items.is_empty(), &batch)))
    }
}

/// Whether the stream is over, and the items: `[over, [item, …]]`.
pub fn answer(is_over: bool, items: &[Bytes]) -> Outcome {
    let mut out = Vec::with_capacity(items.iter().map(|item| item.len() + 5).sum::<usize>() + 8);
    // Writing to a `Vec` cannot fail.
    let written = (|| {
        encode::write_array_len(&mut out, 2)?;
        encode::write_bool(&mut out, is_over).map_err(encode::ValueWriteError::InvalidDataWrite)?;
        encode::write_array_len(&mut out, items.len() as u32)?;
        items.iter().try_for_each(|item| encode::write_bin(&mut out, item))
    })();
    debug_assert!(written.is_ok());
    Outcome::Value(out.into())
}

/// How many items such an answer has.
pub fn items_in(outcome: &Outcome) -> u64 {
    let Outcome::Value(payload) = outcome else { return 0 };
    let mut rest = &payload[..];
    let count = decode::read_array_len(&mut rest).ok();
    let count = count.and_then(|_| decode::read_bool(&mut rest).ok());
    count.and_then(|_| decode::read_array_len(&mut rest).ok()).map_or(0, u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(stream: &mut Stream, count: usize, size: usize) {
        (0..count).for_each(|_| assert!(stream.push(Bytes::from(vec![0; size]))));
    }

    #[test]
    fn a_pull_gets_what_is_there_and_waits_for_the_first_only() {
        let mut stream = Stream::default();
        stream.pulls.extend([3, 4]);
        assert_eq!(stream.serve(), None);
        items(&mut stream, 2, 1);
        let (seq, answered) = stream.serve().unwrap();
        assert_eq!((seq, items_in(&answered)), (3, 2));
        assert_eq!(answered, answer(false, &[Bytes::from_static(&[0]), Bytes::from_static(&[0])]));
        assert_eq!(stream.serve(), None);
        stream.is_over = true;
        assert_eq!(stream.serve(), Some((4, answer(true, &[]))));
    }

    #[test]
    fn a_pull_is_bounded_by_items_and_by_bytes() {
        let mut stream = Stream { is_over: true, ..Stream::default() };
        stream.pulls.extend([0, 1, 2]);
        items(&mut stream, 100, 1);
        let counts: Vec<u64> = std::iter::from_fn(|| stream.serve()).map(|(_, out)| items_in(&out)).collect();
        assert_eq!(counts, [64, 36, 0]);
        stream.pulls.extend([3, 4]);
        items(&mut stream, 3, 200 * 1024);
        let counts: Vec<u64> = std::iter::from_fn(|| stream.serve()).map(|(_, out)| items_in(&out)).collect();
        assert_eq!(counts, [2, 1]);
    }

    #[test]
    fn room_is_there_again_when_half_is_taken() {
        let mut stream = Stream::default();
        items(&mut stream, 64, 1);
        assert!(!stream.has_room());
        (0..32).for_each(|_| drop(stream.pop()));
        assert!(stream.has_room());
        items(&mut stream, 1, ROOM_BYTES);
        assert!(!stream.has_room());
    }

    #[test]
    fn a_worker_that_never_asks_for_room_is_refused() {
        let mut stream = Stream::default();
        items(&mut stream, ITEMS_MAX, 0);
        assert!(!stream.push(Bytes::new()));
    }
}
