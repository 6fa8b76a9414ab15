//! The children of a call by their seq. Nearly all are numbered from 0 in order of creation and stand in a vector;
//! those that threads of the user's own have made have numbers without order, and stand in a map.

use std::collections::BTreeMap;

use super::call::Child;
use crate::model::CallKey;

/// Seqs from here on follow from what was asked, not from the order of creation.
pub const FREE_SEQ: u32 = 1 << 31;

#[derive(Debug, Default)]
pub struct Children {
    numbered: Vec<Child>,
    free: BTreeMap<u32, Child>,
}

impl Children {
    pub fn get(&self, seq: u32) -> Option<&Child> {
        match seq < FREE_SEQ {
            true => self.numbered.get(seq as usize),
            false => self.free.get(&seq),
        }
    }

    pub fn get_mut(&mut self, seq: u32) -> Option<&mut Child> {
        match seq < FREE_SEQ {
            true => self.numbered.get_mut(seq as usize),
            false => self.free.get_mut(&seq),
        }
    }

    /// The numbers before it that were not told yet stay free.
    pub fn set(&mut self, seq: u32, child: Child) {
        if seq >= FREE_SEQ {
            self.free.insert(seq, child);
            return;
        }
        let at = seq as usize;
        if at >= self.numbered.len() {
            self.numbered.resize(at + 1, Child::Untold);
        }
        self.numbered[at] = child;
    }

    /// Takes a child out; its number counts as not told.
    pub fn take(&mut self, seq: u32) -> Option<Child> {
        self.get_mut(seq).map(|child| std::mem::replace(child, Child::Untold))
    }

    /// Whether so many numbers would be left out by a child of this seq.
    pub fn would_skip(&self, seq: u32, count: usize) -> bool {
        seq < FREE_SEQ && seq as usize >= self.numbered.len() + count
    }

    pub fn len(&self) -> usize {
        self.numbered.len() + self.free.len()
    }

    /// All with their seqs.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Child)> {
        (0..).zip(&self.numbered).chain(self.free.iter().map(|(seq, child)| (*seq, child)))
    }

    /// Those that have not ended, with their seqs.
    pub fn pending(&self) -> impl Iterator<Item = (u32, CallKey)> {
        self.numbered().filter_map(|(seq, child)| match child {
            Child::Pending { call, .. } => Some((seq, *call)),
            Child::Awaited { .. } | Child::Recorded { .. } | Child::Untold => None,
        })
    }

    pub fn values(&self) -> impl Iterator<Item = &Child> {
        self.numbered.iter().chain(self.free.values())
    }
}
