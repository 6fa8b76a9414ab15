//! The call that a person names: by its id, or by as much of it as names no other.

use std::time::Instant;

use super::{seconds, status_of_end};
use crate::calls::history::{End, EndedRoot, Node, Tree};
use crate::core::Core;
use crate::model::CallKey;
use crate::protocol::call_id::{CallId, IdPattern};
use crate::protocol::calls::CallStatus;

/// A text has no call.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotFound {
    #[error("`{0}` is not the id of a call")]
    Malformed(String),
    #[error("there is no call {0}")]
    Unknown(String),
    /// Its root is known; whether there was such a call in its tree is not.
    #[error("nothing is kept of the call {0}: its tree has more calls than are kept, or ended long ago")]
    NotKept(String),
    #[error("`{text}` is the beginning of more than one call: {}", .candidates.join(", "))]
    Ambiguous { text: String, candidates: Vec<String> },
    /// Where only a call that has not ended would do.
    #[error("the call {id} has ended {} ago: it {how}", shown(*ago_s))]
    Ended { id: String, how: &'static str, ago_s: f64 },
}

/// What is called by an id.
#[derive(Debug)]
pub enum Found {
    Live(CallKey),
    Ended(EndedCall),
}

/// A call that has ended and is remembered.
#[derive(Debug)]
pub struct EndedCall {
    pub id: String,
    pub status: CallStatus,
    pub ago_s: f64,
}

impl EndedCall {
    pub fn into_not_found(self) -> NotFound {
        let how = match self.status {
            CallStatus::Returned => "returned",
            CallStatus::Raised => "raised an exception",
            CallStatus::Refused => "was refused",
            _ => "was cancelled",
        };
        NotFound::Ended { id: self.id, how, ago_s: self.ago_s }
    }
}

/// An error names so many calls.
const CANDIDATES_MAX: usize = 5;

impl Core {
    /// Finds a call that lives, or one that has ended and is remembered.
    pub(in crate::core) fn find(&self, now: Instant, text: &str) -> Result<Found, NotFound> {
        let (number, path) = self.find_root(now, text)?;
        if let Some(key) = self.live_root(number).and_then(|root| self.descend(root, &path)) {
            return Ok(Found::Live(key));
        }
        let tree = self.history.tree(number).ok_or_else(|| NotFound::Unknown(text.to_owned()))?;
        let id = self.id_at(number, &path);
        let (_, node) = node_at(&tree, &path).ok_or_else(|| missing(&tree, &id))?;
        let with_root = || tree.nodes().next()?.ended.map(|(at, _)| (at, End::Cancelled));
        let (at, end) = node.ended.or_else(with_root).ok_or_else(|| missing(&tree, &id))?;
        Ok(Found::Ended(EndedCall { id, status: status_of_end(end), ago_s: seconds(now, at) }))
    }

    /// The number of the root, and the way from there.
    pub(super) fn find_root(&self, now: Instant, text: &str) -> Result<(u64, Vec<u32>), NotFound> {
        let pattern = IdPattern::parse(text).ok_or_else(|| NotFound::Malformed(text.to_owned()))?;
        let live = self.calls.root_keys().into_iter().filter_map(|key| self.calls.get(key));
        let live = live.map(|call| call.tree);
        let ended = self.history.ended_roots(now).map(|EndedRoot { root, .. }| *root);
        let mut found: Vec<u64> =
            live.chain(ended).filter(|number| pattern.names(self.calls.root_id(*number))).collect();
        match found.as_slice() {
            [] => Err(NotFound::Unknown(text.to_owned())),
            [number] => Ok((*number, pattern.path)),
            _ => {
                found.sort_unstable_by(|a, b| b.cmp(a));
                found.truncate(CANDIDATES_MAX);
                let candidates = found.iter().map(|number| self.id_at(*number, &[])).collect();
                Err(NotFound::Ambiguous { text: text.to_owned(), candidates })
            }
        }
    }

    pub(super) fn id_at(&self, root: u64, path: &[u32]) -> String {
        CallId { root: self.calls.root_id(root), path: path.to_vec() }.text()
    }

    pub(super) fn live_root(&self, number: u64) -> Option<CallKey> {
        let is_it = |key: &CallKey| self.calls.get(*key).is_some_and(|call| call.tree == number);
        self.calls.root_keys().into_iter().find(is_it)
    }

    pub(super) fn descend(&self, root: CallKey, path: &[u32]) -> Option<CallKey> {
        path.iter().try_fold(root, |key, seq| self.calls.get(key)?.pending_child(*seq))
    }
}

/// What is said of a call that is not in its tree.
pub fn missing(tree: &Tree, id: &str) -> NotFound {
    match tree.lost {
        0 => NotFound::Unknown(id.to_owned()),
        _ => NotFound::NotKept(id.to_owned()),
    }
}

/// The call of a tree to which a path leads.
pub fn node_at<'a>(tree: &'a Tree, path: &[u32]) -> Option<(u32, &'a Node)> {
    let first = tree.nodes().next().map(|node| (0, node));
    path.iter().fold(first, |above, seq| {
        let (above, _) = above?;
        // The last of them is the one that counts: a retry makes its calls again.
        (0..).zip(tree.nodes()).filter(|(_, node)| node.parent == above && node.seq == *seq).last()
    })
}

/// Whole seconds of what is longer than one.
fn shown(seconds: f64) -> String {
    if seconds < 1.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}
