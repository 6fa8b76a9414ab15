//! `msx trace`: the course of a tree of calls, as it is so far or was.

use std::time::Instant;

use super::find::{missing, node_at};
use super::list::label;
use super::{Labels, NotFound, rounded, seconds, status, status_of_end};
use crate::calls::history::{End, Node, Tree, Wait};
use crate::core::Core;
use crate::model::CallKey;
use crate::protocol::calls::{CallStatus, Trace, TraceCall, TraceWait};

impl Core {
    /// Of a call and all below it, each before those that it made, in the order in which it made them.
    pub fn trace(&self, now: Instant, text: &str, labels: Labels<'_>) -> Result<Trace, NotFound> {
        let (number, path) = self.find_root(now, text)?;
        let tree = self.history.tree(number).ok_or_else(|| NotFound::Unknown(text.to_owned()))?;
        let found = node_at(&tree, &path);
        let (at, first) = found.ok_or_else(|| missing(&tree, &self.id_at(number, &path)))?;
        let (below, waits, live) = (below(&tree), waits(&tree), self.live_root(number));
        let tracer = Tracer { core: self, tree: &tree, live, start: first.queued, labels, below, waits };
        let mut calls = Vec::new();
        tracer.add(at, path, &mut calls);
        let end = tracer.end_of(first).map_or(now, |(at, _)| at);
        Ok(Trace {
            age_s: seconds(now, first.queued),
            took_s: rounded(end.saturating_duration_since(first.queued)),
            calls,
            lost: u64::from(tree.lost),
        })
    }
}

/// Turns the records of one tree into what is shown.
struct Tracer<'a> {
    core: &'a Core,
    tree: &'a Tree,
    /// The root call, while it has not ended.
    live: Option<CallKey>,
    start: Instant,
    labels: Labels<'a>,
    /// By call: those that it made, and its waits.
    below: Vec<Vec<u32>>,
    waits: Vec<Vec<&'a Wait>>,
}

fn below(tree: &Tree) -> Vec<Vec<u32>> {
    let nodes: Vec<&Node> = tree.nodes().collect();
    let mut below = vec![Vec::new(); nodes.len()];
    for (at, node) in (0..).zip(&nodes) {
        if let Some(children) = below.get_mut(node.parent as usize) {
            children.push(at);
        }
    }
    below.iter_mut().for_each(|children| children.sort_by_key(|at| nodes[*at as usize].seq));
    below
}

fn waits(tree: &Tree) -> Vec<Vec<&Wait>> {
    let mut waits = vec![Vec::new(); tree.nodes().count()];
    tree.waits.iter().for_each(|wait| waits[wait.node as usize].push(wait));
    waits
}

impl Tracer<'_> {
    /// Not by recursion: calls nest deeper than a stack should.
    fn add(&self, first: u32, path: Vec<u32>, out: &mut Vec<TraceCall>) {
        let top = path.len();
        let nodes: Vec<&Node> = self.tree.nodes().collect();
        let mut open = vec![(first, path)];
        while let Some((at, path)) = open.pop() {
            for child in self.below[at as usize].iter().rev() {
                let seq = nodes[*child as usize].seq;
                open.push((*child, path.iter().copied().chain([seq]).collect()));
            }
            out.push(self.call(at, nodes[at as usize], &path, (path.len() - top) as u32));
        }
    }

    fn call(&self, at: u32, node: &Node, path: &[u32], depth: u32) -> TraceCall {
        let after = |at: Instant| rounded(at.saturating_duration_since(self.start));
        let waits = self.waits[at as usize].iter().map(|wait| TraceWait {
            parked_s: after(wait.parked),
            over_s: wait.over.map(after),
            resumed_s: wait.resumed.map(after),
        });
        let end = self.end_of(node);
        TraceCall {
            id: self.core.id_at(self.tree.root, path),
            service: self.core.name(node.service),
            instance: label(node, self.labels),
            status: end.map_or_else(|| self.status(path, node), |(_, end)| status_of_end(end)),
            depth,
            queued_s: after(node.queued),
            started_s: node.started.map(after),
            ended_s: end.map(|(at, _)| after(at)),
            waits: waits.collect(),
            summary: self.tree.summary(at).map(str::to_owned),
            batch: self.core.batch_info(self.tree.root, node),
        }
    }

    /// A call that was under way when its root ended was cancelled with it.
    fn end_of(&self, node: &Node) -> Option<(Instant, End)> {
        let with_root = || self.tree.nodes().next()?.ended.map(|(at, _)| (at, End::Cancelled));
        node.ended.or_else(with_root)
    }

    fn status(&self, path: &[u32], node: &Node) -> CallStatus {
        let key = self.live.and_then(|root| self.core.descend(root, path));
        let live = key.and_then(|key| self.core.calls.get(key));
        live.map_or(if node.started.is_some() { CallStatus::Running } else { CallStatus::Queued }, status)
    }
}
