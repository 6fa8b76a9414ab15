//! What was when: for each tree of calls, when each of them was queued, started, waited and ended; and the roots that
//! ended lately.
//!
//! On the path of every call, so it is only written down here, in records of a fixed size: a call without children
//! costs no allocation. What it may hold is bounded, and what did not fit is counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use slab::Slab;

use crate::model::ServiceId;

/// Calls of one tree that are written down, and as many of their waits.
pub const TREE_MAX: usize = 4_096;
/// Roots that ended and are remembered.
pub const ENDED_MAX: usize = 10_000;
/// How long they are.
pub const ENDED_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Those of them whose whole trees are remembered, and calls and waits of all these trees together.
const TREES_MAX: usize = 1_000;
const ENTRIES_MAX: usize = 50_000;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Returned,
    Raised,
    /// Never run.
    Refused,
    /// Nobody waited for it any more.
    Cancelled,
}

/// Where a call is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    tree: u32,
    node: u32,
    /// Number of the root call: tells whether the place is still that of the tree.
    root: u64,
}

impl Record {
    /// Of a call that did not fit.
    pub const NONE: Self = Self { tree: u32::MAX, node: u32::MAX, root: 0 };
}

const NONE: u32 = u32::MAX;

/// A batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNote {
    /// Calls that it was made of.
    pub size: u32,
    /// Number of its tree.
    pub tree: u64,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Node {
    pub parent: u32,
    pub seq: u32,
    pub service: ServiceId,
    /// Number of the instance that it ran in last, from 1; 0: none yet.
    pub instance: u32,
    /// Calls that it made.
    pub children: u32,
    /// The batch that it is, or was in last.
    pub batch: Option<BatchNote>,
    /// The wait that it is in.
    wait: u32,
    pub queued: Instant,
    pub started: Option<Instant>,
    pub ended: Option<(Instant, End)>,
}

/// One time that a call waited for other calls.
#[derive(Clone, Debug)]
pub struct Wait {
    pub node: u32,
    pub parked: Instant,
    /// What it waited for was there.
    pub over: Option<Instant>,
    /// It had a slot again.
    pub resumed: Option<Instant>,
}

/// A root call and what came of it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Number of the root call.
    pub root: u64,
    /// The root's own record, in place: most roots make no calls.
    first: Node,
    rest: Vec<Node>,
    pub waits: Vec<Wait>,
    summaries: Vec<(u32, Box<str>)>,
    /// Calls and waits that did not fit.
    pub lost: u32,
}

impl Tree {
    /// All nodes; a parent is before its children.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        match node {
            0 => Some(&mut self.first),
            node => self.rest.get_mut(node as usize - 1),
        }
    }

    pub fn summary(&self, node: u32) -> Option<&str> {
        self.summaries.iter().find(|(of, _)| *of == node).map(|(_, text)| &**text)
    }

    fn entries(&self) -> usize {
        self.rest.len() + self.waits.len()
    }
}

/// A root call that has ended.
#[derive(Clone, Debug)]
pub struct EndedRoot {
    pub root: u64,
    pub node: Node,
    pub summary: Option<Box<str>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    live: Slab<Tree>,
    ended: VecDeque<EndedRoot>,
    trees: VecDeque<Tree>,
    /// Of all `trees` together.
    entries: usize,
}

impl History {
    /// A root call was queued.
    pub fn open(&mut self, root: u64, service: ServiceId, now: Instant) -> Record {
        let first = node(NONE, 0, service, now);
        let (rest, waits, summaries) = (Vec::new(), Vec::new(), Vec::new());
        let tree = self.live.insert(Tree { root, first, rest, waits, summaries, lost: 0 });
        Record { tree: tree as u32, node: 0, root }
    }

    /// A call of that tree was queued.
    pub fn add(&mut self, parent: Record, seq: u32, service: ServiceId, now: Instant) -> Record {
        let Some(tree) = self.tree_mut(parent) else { return Record::NONE };
        if let Some(parent) = tree.node_mut(parent.node) {
            parent.children += 1;
        }
        if tree.rest.len() >= TREE_MAX - 1 {
            tree.lost += 1;
            // The tree is known all the same, so that its own children are counted.
            return Record { node: NONE, ..parent };
        }
        tree.rest.push(node(parent.node, seq, service, now));
        Record { node: tree.rest.len() as u32, ..parent }
    }

    /// It got a slot: at first, or to go on, or to begin again.
    pub fn started(&mut self, record: Record, instance: u32, now: Instant) {
        let Some(tree) = self.tree_mut(record) else { return };
        let Some(node) = tree.node_mut(record.node) else { return };
        node.instance = instance;
        node.started.get_or_insert(now);
        let wait = std::mem::replace(&mut node.wait, NONE);
        if let Some(wait) = tree.waits.get_mut(wait as usize) {
            wait.resumed = Some(now);
        }
    }

    /// It is a batch, or was taken into one.
    pub fn batched(&mut self, record: Record, batch: BatchNote) {
        if let Some(node) = self.tree_mut(record).and_then(|tree| tree.node_mut(record.node)) {
            node.batch = Some(batch);
        }
    }

    /// It waits for other calls.
    pub fn parked(&mut self, record: Record, now: Instant) {
        let Some(tree) = self.tree_mut(record) else { return };
        if tree.waits.len() >= TREE_MAX {
            tree.lost += 1;
            return;
        }
        let wait = tree.waits.len() as u32;
        let Some(node) = tree.node_mut(record.node) else { return };
        node.wait = wait;
        tree.waits.push(Wait { node: record.node, parked: now, over: None, resumed: None });
    }

    /// What it waits for is there.
    pub fn woken(&mut self, record: Record, now: Instant) {
        let Some(tree) = self.tree_mut(record) else { return };
        let wait = tree.node_mut(record.node).map_or(NONE, |node| node.wait);
        if let Some(wait) = tree.waits.get_mut(wait as usize) {
            wait.over.get_or_insert(now);
        }
    }

    /// It is over. With the root, so is its tree.
    pub fn ended(&mut self, record: Record, end: End, now: Instant) {
        let Some(node) = self.tree_mut(record).and_then(|tree| tree.node_mut(record.node)) else { return };
        node.ended.get_or_insert((now, end));
        if record.node == 0 {
            let tree = self.live.remove(record.tree as usize);
            self.remember(tree, now);
        }
    }

    /// What the call says that it is about.
    pub fn summarise(&mut self, record: Record, text: &str) {
        let Some(tree) = self.tree_mut(record).filter(|_| record.node != NONE) else { return };
        match tree.summaries.iter_mut().find(|(node, _)| *node == record.node) {
            Some((_, known)) => *known = text.into(),
            None => tree.summaries.push((record.node, text.into())),
        }
    }

    fn tree_mut(&mut self, record: Record) -> Option<&mut Tree> {
        self.live.get_mut(record.tree as usize).filter(|tree| tree.root == record.root)
    }

    fn remember(&mut self, tree: Tree, now: Instant) {
        let summary = tree.summary(0).map(Box::from);
        self.ended.push_back(EndedRoot { root: tree.root, node: tree.first.clone(), summary });
        if self.ended.len() > ENDED_MAX || self.ended.front().is_some_and(|oldest| is_old(oldest, now)) {
            self.ended.pop_front();
        }
        if tree.entries() == 0 {
            return;
        }
        self.entries += tree.entries();
        self.trees.push_back(tree);
        while self.trees.len() > TREES_MAX || self.entries > ENTRIES_MAX {
            let forgotten = self.trees.pop_front();
            self.entries -= forgotten.map_or(0, |tree| tree.entries());
        }
    }

    // ---- for those who look ----

    /// Whether there is no tree that goes on.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.live.is_empty()
    }

    /// The record of a call that has not ended, and its tree.
    pub fn live(&self, record: Record) -> Option<(&Tree, &Node)> {
        let tree = self.live.get(record.tree as usize).filter(|tree| tree.root == record.root)?;
        let node = match record.node {
            0 => Some(&tree.first),
            node => tree.rest.get((node as usize).wrapping_sub(1)),
        };
        Some((tree, node?))
    }

    /// The last that was heard of a call.
    pub fn since(&self, record: Record) -> Option<Instant> {
        let (tree, node) = self.live(record)?;
        let parked = tree.waits.get(node.wait as usize).map(|wait| wait.parked);
        parked.or(node.started).or(Some(node.queued))
    }

    pub fn summary(&self, record: Record) -> Option<&str> {
        self.live(record).and_then(|(tree, _)| tree.summary(record.node))
    }

    /// Roots that have ended, the last one first.
    pub fn ended_roots(&self, now: Instant) -> impl Iterator<Item = &EndedRoot> {
        self.ended.iter().rev().take_while(move |root| !is_old(root, now))
    }

    /// The tree of a root, unless it was forgotten. One without calls and waits is its root's record.
    pub fn tree(&self, root: u64) -> Option<Tree> {
        let live = self.live.iter().map(|(_, tree)| tree).find(|tree| tree.root == root);
        live.or_else(|| self.trees.iter().find(|tree| tree.root == root)).cloned().or_else(|| {
            let ended = self.ended.iter().find(|ended| ended.root == root)?;
            let summaries = ended.summary.iter().map(|text| (0, text.clone())).collect();
            let (first, rest, waits) = (ended.node.clone(), Vec::new(), Vec::new());
            let lost = first.children;
            Some(Tree { root, first, rest, waits, summaries, lost })
        })
    }
}

fn node(parent: u32, seq: u32, service: ServiceId, queued: Instant) -> Node {
    Node {
        parent,
        seq,
        service,
        instance: 0,
        children: 0,
        batch: None,
        wait: NONE,
        queued,
        started: None,
        ended: None,
    }
}

fn is_old(root: &EndedRoot, now: Instant) -> bool {
    root.node.ended.is_some_and(|(at, _)| now.saturating_duration_since(at) > ENDED_AGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: ServiceId = ServiceId(0);

    #[test]
    fn a_tree_tells_what_was_when() {
        let (mut history, start) = (History::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let root = history.open(1, SERVICE, at(0));
        history.started(root, 1, at(1));
        let child = history.add(root, 0, ServiceId(1), at(2));
        history.parked(root, at(2));
        history.started(child, 3, at(3));
        history.ended(child, End::Raised, at(4));
        history.woken(root, at(4));
        history.started(root, 2, at(5));
        history.ended(root, End::Returned, at(6));

        let tree = history.tree(1).unwrap();
        let nodes: Vec<&Node> = tree.nodes().collect();
        assert_eq!((nodes[0].started, nodes[0].ended), (Some(at(1)), Some((at(6), End::Returned))));
        assert_eq!((nodes[0].instance, nodes[0].children), (2, 1));
        assert_eq!((nodes[1].parent, nodes[1].started), (0, Some(at(3))));
        let wait = &tree.waits[0];
        assert_eq!((wait.parked, wait.over, wait.resumed), (at(2), Some(at(4)), Some(at(5))));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut history, now) = (History::default(), Instant::now());
        for number in 0..ENDED_MAX as u64 + 5 {
            let root = history.open(number, SERVICE, now);
            for seq in 0..20 {
                history.add(root, seq, SERVICE, now);
            }
            history.ended(root, End::Returned, now);
        }
        assert_eq!(history.ended_roots(now).count(), ENDED_MAX);
        assert_eq!(history.trees.len(), TREES_MAX);
        assert!(history.entries <= ENTRIES_MAX && history.live.is_empty());
        let oldest = history.tree(5).unwrap();
        assert_eq!((oldest.nodes().count(), oldest.lost), (1, 20));
        assert!(history.tree(4).is_none());
        assert_eq!(history.ended_roots(now + ENDED_AGE_MAX * 2).count(), 0);
    }

    #[test]
    fn what_does_not_fit_into_a_tree_is_counted() {
        let (mut history, now) = (History::default(), Instant::now());
        let root = history.open(1, SERVICE, now);
        let last = (0..TREE_MAX as u32 + 9).map(|seq| history.add(root, seq, SERVICE, now)).last().unwrap();
        history.started(last, 1, now);
        history.parked(last, now);
        history.add(last, 0, SERVICE, now);
        history.ended(last, End::Returned, now);
        history.ended(root, End::Returned, now);
        let tree = history.tree(1).unwrap();
        assert_eq!((tree.nodes().count(), tree.lost, tree.waits.len()), (TREE_MAX, 11, 0));
    }

    #[test]
    fn a_late_word_does_not_touch_the_next_tree() {
        let (mut history, now) = (History::default(), Instant::now());
        let first = history.open(1, SERVICE, now);
        let child = history.add(first, 0, SERVICE, now);
        history.ended(first, End::Cancelled, now);
        let second = history.open(2, SERVICE, now);
        history.ended(child, End::Cancelled, now);
        history.summarise(child, "late");
        assert!(history.live(second).unwrap().1.ended.is_none());
        assert_eq!(history.summary(second), None);
    }
}
