//! Who must come before whom: a graph of transactions, its cycles, and their names.
//!
//! Names are Elle's, after Adya: the fewer anti-dependencies (rw) a cycle needs, the worse the anomaly. Cycles that need
//! real time are asked for last. Everything here is linear in the graph but the choice of the cycle that is shown, which
//! is bounded by `TRIES_MAX`: a history may have many, and a person reads one.

use std::collections::VecDeque;

/// How many starting points are tried for a short cycle.
const TRIES_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The second wrote over what the first wrote.
    WriteWrite,
    /// The second read what the first wrote.
    WriteRead,
    /// The second wrote over what the first read.
    ReadWrite,
    /// The first had returned before the second was invoked.
    RealTime,
}

use Kind::{ReadWrite, RealTime, WriteRead, WriteWrite};

/// An edge with its justification.
#[derive(Clone, Debug)]
pub(crate) struct Edge<W> {
    pub to: usize,
    pub kind: Kind,
    pub why: W,
}

pub(crate) struct Graph<W> {
    edges: Vec<Vec<Edge<W>>>,
}

/// A cycle: each node with the edge to the next, the last one's edge leads to the first.
pub(crate) struct Cycle<'g, W> {
    pub name: &'static str,
    pub steps: Vec<(usize, &'g Edge<W>)>,
}

/// In order of gravity. `once` is a kind of which exactly one edge is wanted, besides those of `kinds`.
struct Anomaly {
    name: &'static str,
    kinds: &'static [Kind],
    once: Option<Kind>,
}

const ANOMALIES: &[Anomaly] = &[
    Anomaly { name: "G0 (write cycle)", kinds: &[WriteWrite], once: None },
    Anomaly { name: "G1c (circular information flow)", kinds: &[WriteWrite, WriteRead], once: None },
    Anomaly { name: "G-single (read skew)", kinds: &[WriteWrite, WriteRead], once: Some(ReadWrite) },
    Anomaly { name: "G2 (write skew)", kinds: &[WriteWrite, WriteRead, ReadWrite], once: None },
    Anomaly { name: "G0-realtime", kinds: &[WriteWrite, RealTime], once: None },
    Anomaly { name: "G1c-realtime", kinds: &[WriteWrite, WriteRead, RealTime], once: None },
    Anomaly { name: "G-single-realtime", kinds: &[WriteWrite, WriteRead, RealTime], once: Some(ReadWrite) },
    Anomaly { name: "G2-realtime", kinds: &[WriteWrite, WriteRead, ReadWrite, RealTime], once: None },
];

impl<W> Graph<W> {
    pub(crate) fn new(node_count: usize) -> Graph<W> {
        Graph { edges: (0..node_count).map(|_| Vec::new()).collect() }
    }

    /// Edges from a node to itself say nothing and are not kept.
    pub(crate) fn add(&mut self, from: usize, to: usize, kind: Kind, why: W) {
        if from != to {
            self.edges[from].push(Edge { to, kind, why });
        }
    }

    /// A cycle of the gravest kind that there is.
    pub(crate) fn find_cycle(&self) -> Option<Cycle<'_, W>> {
        ANOMALIES.iter().find_map(|anomaly| {
            let mut allowed = anomaly.kinds.to_vec();
            allowed.extend(anomaly.once);
            let components = self.components(&allowed);
            let steps = match anomaly.once {
                None => self.shortest_cycle(&components, anomaly.kinds),
                Some(once) => self.cycle_with_one(&components, anomaly.kinds, once),
            };
            steps.map(|steps| Cycle { name: anomaly.name, steps })
        })
    }

    fn shortest_cycle(&self, components: &[usize], kinds: &[Kind]) -> Option<Vec<(usize, &Edge<W>)>> {
        let mut sizes = vec![0; self.edges.len()];
        components.iter().for_each(|component| sizes[*component] += 1);
        let starts = (0..self.edges.len()).filter(|node| sizes[components[*node]] > 1).take(TRIES_MAX);
        starts.filter_map(|start| self.path(start, start, components, kinds)).min_by_key(Vec::len)
    }

    /// A cycle in which `once` occurs once.
    fn cycle_with_one(&self, components: &[usize], kinds: &[Kind], once: Kind) -> Option<Vec<(usize, &Edge<W>)>> {
        let candidates =
            self.edges.iter().enumerate().flat_map(|(from, edges)| {
                edges.iter().filter(move |edge| edge.kind == once).map(move |edge| (from, edge))
            });
        let candidates = candidates.filter(|(from, edge)| components[*from] == components[edge.to]).take(TRIES_MAX);
        let cycles = candidates.filter_map(|(from, edge)| {
            let back = self.path(edge.to, from, components, kinds)?;
            Some([(from, edge)].into_iter().chain(back).collect::<Vec<_>>())
        });
        cycles.min_by_key(Vec::len)
    }

    /// The shortest way of at least one edge within one component, breadth first.
    fn path(&self, from: usize, to: usize, components: &[usize], kinds: &[Kind]) -> Option<Vec<(usize, &Edge<W>)>> {
        let mut reached: Vec<Option<(usize, &Edge<W>)>> = vec![None; self.edges.len()];
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            for edge in &self.edges[node] {
                if components[edge.to] != components[from] || !kinds.contains(&edge.kind) || reached[edge.to].is_some()
                {
                    continue;
                }
                reached[edge.to] = Some((node, edge));
                if edge.to == to {
                    let mut steps = Vec::new();
                    let mut node = to;
                    while steps.is_empty() || node != from {
                        let step = reached[node].expect("every node on the way was reached");
                        steps.push(step);
                        node = step.0;
                    }
                    steps.reverse();
                    return Some(steps);
                }
                queue.push_back(edge.to);
            }
        }
        None
    }

    /// The strongly connected component of each node, over edges of these kinds (Tarjan, without recursion).
    fn components(&self, kinds: &[Kind]) -> Vec<usize> {
        const UNSEEN: usize = usize::MAX;
        let count = self.edges.len();
        let (mut order, mut low) = (vec![UNSEEN; count], vec![0; count]);
        let (mut component, mut component_count) = (vec![UNSEEN; count], 0);
        let (mut stack, mut next_order) = (Vec::new(), 0);
        // A node, and how many of its edges have been looked at.
        let mut visits: Vec<(usize, usize)> = Vec::new();
        for root in 0..count {
            if order[root] != UNSEEN {
                continue;
            }
            visits.push((root, 0));
            while let Some((node, looked)) = visits.last_mut() {
                let node = *node;
                if *looked == 0 {
                    (order[node], low[node]) = (next_order, next_order);
                    next_order += 1;
                    stack.push(node);
                }
                if let Some(edge) = self.edges[node].get(*looked) {
                    *looked += 1;
                    if !kinds.contains(&edge.kind) {
                        continue;
                    }
                    if order[edge.to] == UNSEEN {
                        visits.push((edge.to, 0));
                    } else if component[edge.to] == UNSEEN {
                        low[node] = low[node].min(order[edge.to]);
                    }
                    continue;
                }
                visits.pop();
                if let Some((parent, _)) = visits.last() {
                    low[*parent] = low[*parent].min(low[node]);
                }
                if low[node] == order[node] {
                    while component[node] == UNSEEN {
                        let member = stack.pop().expect("a component is on the stack down to its root");
                        component[member] = component_count;
                    }
                    component_count += 1;
                }
            }
        }
        component
    }
}
