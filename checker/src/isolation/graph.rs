//! Who must come before whom: a graph of transactions in flat arrays, four bytes an edge.
//!
//! Real time needs no edges at all. Transactions are numbered in the order of invocation, so that what was invoked after
//! one had returned is a *suffix* of all numbers; a node for each suffix, leading to its first transaction and to the next
//! suffix, says it in one number per transaction, however many clients there are.
//!
//! A [`View`] is what a search sees of it: some kinds of edges, and a rule on how they may follow each other. The rules that
//! define snapshot isolation and prefix consistency need one bit of memory, so a view has up to two nodes a transaction.
//!
//! Invariants
//!  I1  No edge leads from a node to itself.
//!  I2  A cycle of a view goes through two transactions at least: suffixes only lead to later ones.

use std::ops::ControlFlow;

use super::index::NONE;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The second wrote over what the first wrote.
    WriteWrite,
    /// The second read what the first wrote.
    WriteRead,
    /// The second wrote over what the first read.
    ReadWrite,
    /// The second wrote what the first looked for over a range and did not find.
    PredicateReadWrite,
    /// The first had returned before the same process invoked the second.
    Process,
    /// The first had returned before the second was invoked.
    RealTime,
}

use Kind::{PredicateReadWrite, Process, ReadWrite, RealTime, WriteRead, WriteWrite};

impl Kind {
    const ALL: [Kind; 6] = [WriteWrite, WriteRead, ReadWrite, PredicateReadWrite, Process, RealTime];

    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }

    pub fn is_anti_dependency(self) -> bool {
        matches!(self, ReadWrite | PredicateReadWrite)
    }

    /// By which clients, not data, are ordered.
    pub fn is_order(self) -> bool {
        matches!(self, Process | RealTime)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Any,
    /// No two anti-dependencies follow each other.
    Nonadjacent,
    /// An anti-dependency follows a read dependency only. For views of data alone: a suffix has no state.
    AfterRead,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Bits of kinds.
    pub kinds: u8,
    pub rule: Rule,
}

impl View {
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.kinds & kind.bit() != 0
    }

    /// From a node's state over an edge to the next node's state; none: it may not be taken.
    pub(super) fn step(&self, state: bool, kind: Kind) -> Option<bool> {
        if !self.has(kind) {
            return None;
        }
        match self.rule {
            Rule::Any => Some(false),
            Rule::Nonadjacent if kind.is_anti_dependency() => (!state).then_some(true),
            Rule::Nonadjacent => Some(false),
            Rule::AfterRead if kind.is_anti_dependency() => state.then_some(false),
            Rule::AfterRead => Some(kind == WriteRead),
        }
    }
}

/// A place in a view: a transaction in a state, or a suffix.
pub(super) type Id = u32;

#[derive(Default)]
pub(super) struct Graph {
    /// Where each node's edges begin; one more than nodes.
    first: Vec<u32>,
    /// The target and, in the lowest three bits, the kind.
    edges: Vec<u32>,
    /// The suffix that came after each node in real time, or `NONE`.
    after: Vec<u32>,
}

/// Takes edges one by one: from, to, and of what kind.
pub(super) type EdgeSink<'a> = dyn FnMut(u32, u32, Kind) -> ControlFlow<()> + 'a;

/// More edges than a history of that length may have.
#[derive(Debug)]
pub(super) struct TooManyEdges;

impl Graph {
    /// `each_edge` is called twice, and must say the same: first they are counted, then put in their places. Counting
    /// breaks off at `edges_max`.
    pub(super) fn build(
        after: Vec<u32>,
        edges_max: usize,
        each_edge: impl Fn(&mut EdgeSink<'_>) -> ControlFlow<()>,
    ) -> Result<Graph, TooManyEdges> {
        let nodes = after.len();
        let mut first = vec![0u32; nodes + 1];
        let mut count = 0;
        let edges_max = edges_max.min(NONE as usize - 1);
        let counted = each_edge(&mut |from, to, _| {
            if from != to {
                first[from as usize] += 1;
                count += 1;
            }
            if count > edges_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if counted.is_break() {
            return Err(TooManyEdges);
        }
        let mut sum = 0;
        for place in &mut first {
            (*place, sum) = (sum, sum + *place);
        }
        let mut edges = vec![0u32; count];
        let filled = each_edge(&mut |from, to, kind| {
            if from != to {
                edges[first[from as usize] as usize] = to << 3 | kind as u32;
                first[from as usize] += 1;
            }
            ControlFlow::Continue(())
        });
        assert!(filled.is_continue(), "nothing breaks off the second time");
        // Filling moved each beginning to its end, which is the next one's beginning.
        first.rotate_right(1);
        first[0] = 0;
        Ok(Graph { first, edges, after })
    }

    /// Only these nodes, which are given in order, renumbered from 0.
    pub(super) fn induced(&self, nodes: &[u32]) -> Graph {
        let (mut first, mut edges) = (vec![0], Vec::new());
        let new = |old: u32| nodes.binary_search(&old).ok().map(|place| place as u32);
        for node in nodes {
            for (to, kind) in self.edges_of(*node) {
                if let Some(to) = new(to) {
                    edges.push(to << 3 | kind as u32);
                }
            }
            first.push(edges.len() as u32);
        }
        let suffix = |after: u32| nodes.partition_point(|node| *node < after) as u32;
        let after = nodes.iter().map(|node| self.after[*node as usize]);
        let after = after.map(|after| if after == NONE { NONE } else { suffix(after) }).collect();
        Graph { first, edges, after }
    }

    pub(super) fn node_count(&self) -> u32 {
        self.after.len() as u32
    }

    /// Those that are kept: not real time.
    pub(super) fn edges_of(&self, node: u32) -> impl Iterator<Item = (u32, Kind)> {
        let node = node as usize;
        let edges = &self.edges[self.first[node] as usize..self.first[node + 1] as usize];
        edges.iter().map(|edge| (edge >> 3, Kind::ALL[(edge & 7) as usize]))
    }

    /// The suffix of all that came after a node in real time, if it is not empty.
    pub(super) fn suffix_after(&self, node: u32) -> Option<u32> {
        Some(self.after[node as usize]).filter(|after| *after < self.node_count())
    }

    pub(super) fn id(&self, node: u32, state: bool) -> Id {
        if state { node + 2 * self.node_count() } else { node }
    }

    pub(super) fn suffix_id(&self, suffix: u32) -> Id {
        suffix + self.node_count()
    }

    /// How many ids a view has.
    pub(super) fn id_count(&self, view: &View) -> usize {
        let per_node = match view.rule {
            Rule::Any if !view.has(RealTime) => 1,
            Rule::Any => 2,
            Rule::Nonadjacent | Rule::AfterRead => 3,
        };
        per_node * self.after.len()
    }

    /// The node and the state of an id; none of a suffix.
    pub(super) fn node(&self, id: Id) -> Option<(u32, bool)> {
        let count = self.node_count();
        match id / count.max(1) {
            0 => Some((id, false)),
            1 => None,
            _ => Some((id - 2 * count, true)),
        }
    }

    /// The id that follows `id` in the view, from `cursor` on, which is moved behind it. It starts at 0.
    pub(super) fn successor(&self, view: &View, id: Id, cursor: &mut u32) -> Option<Id> {
        let Some((node, state)) = self.node(id) else {
            let suffix = id - self.node_count();
            *cursor += 1;
            return match *cursor {
                1 => Some(suffix),
                2 if suffix + 1 < self.node_count() => Some(id + 1),
                _ => None,
            };
        };
        if *cursor == 0 {
            *cursor = 1;
            if let (Some(_), Some(suffix)) = (view.step(state, RealTime), self.suffix_after(node)) {
                return Some(self.suffix_id(suffix));
            }
        }
        let (begin, end) = (self.first[node as usize], self.first[node as usize + 1]);
        while begin + *cursor - 1 < end {
            let edge = self.edges[(begin + *cursor - 1) as usize];
            *cursor += 1;
            if let Some(state) = view.step(state, Kind::ALL[(edge & 7) as usize]) {
                return Some(self.id(edge >> 3, state));
            }
        }
        None
    }
}
