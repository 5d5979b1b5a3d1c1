//! Check `session`: each client sees the database move forward, with its own writes in it.
//!
//! After Terry et al., "Session guarantees for weakly consistent replicated data" (1994); a session is a process. Histories
//! are registers where each value is written once (see [`accesses`](super::accesses)), and the versions of a key have one
//! order, Terry's write order, which all servers share. It is not known; each guarantee says some of it:
//!
//! | guarantee | of one client and one key | so |
//! |---|---|---|
//! | read-your-writes | it wrote `a`, then read `b` | `b` is not before `a` |
//! | monotonic-reads | it read `a`, then `b` | `b` is not before `a` |
//! | monotonic-writes | it wrote `a`, then `b` | `a` is before `b` |
//! | writes-follow-reads | it read `a`, then wrote `b` | `a` is before `b` |
//!
//! The initial value comes before all. A guarantee is broken if what it says goes round: that is exact for each alone. Where
//! none is broken alone, all four are taken together; and what then remains between keys is convergent causal consistency
//! (see [`causal`](super::causal)), which the four together are.
//!
//! Invariant S1: what each guarantee says is a graph of *not after*, linear in the history; two writes in one strongly
//! connected component of it are a contradiction, and nothing else is.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use tenet_histories::{Process, Value};

use super::accesses::{Accesses, Kind, NONE, ThinAir};
use super::{Check, Done, Of, Op, Report, causal};
use crate::budget::Budget;
use crate::{CheckError, Oracle};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    ReadYourWrites,
    MonotonicReads,
    MonotonicWrites,
    WritesFollowReads,
}

impl Guarantee {
    pub const ALL: [Guarantee; 4] = [
        Guarantee::ReadYourWrites,
        Guarantee::MonotonicReads,
        Guarantee::MonotonicWrites,
        Guarantee::WritesFollowReads,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Guarantee::ReadYourWrites => "read-your-writes",
            Guarantee::MonotonicReads => "monotonic-reads",
            Guarantee::MonotonicWrites => "monotonic-writes",
            Guarantee::WritesFollowReads => "writes-follow-reads",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The value of every key at first.
    pub initial: Value,
    pub budget: Budget,
}

/// Why one version is not after another of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    Initial,
    /// A client did the first of these with the earlier version, then the second with the later one.
    Session(Guarantee, Op, Op),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub earlier: Value,
    pub later: Value,
    pub because: Because,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    ThinAir(ThinAir),
    /// Versions of a key that would each be before the next, and the last before the first.
    Cycle {
        key: Value,
        steps: Vec<Step>,
    },
    /// No guarantee is broken by itself on one key, but all four together are.
    Causal(Box<causal::Wrong>),
}

impl Wrong {
    /// Those that cannot all hold.
    pub fn guarantees(&self) -> Vec<Guarantee> {
        let Wrong::Cycle { steps, .. } = self else { return Guarantee::ALL.to_vec() };
        let of = |step: &Step| match step.because {
            Because::Session(guarantee, _, _) => Some(guarantee),
            Because::Initial => None,
        };
        let mut guarantees: Vec<Guarantee> = steps.iter().filter_map(of).collect();
        guarantees.sort_unstable();
        guarantees.dedup();
        guarantees
    }
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match self {
            Wrong::ThinAir(_) => "thin-air-read",
            Wrong::Cycle { .. } => match self.guarantees()[..] {
                [one] => one.name(),
                _ => "session-guarantees-together",
            },
            Wrong::Causal(_) => "causality",
        }
    }

    fn operations(&self) -> Vec<usize> {
        match self {
            Wrong::ThinAir(thin_air) => thin_air.operations(),
            Wrong::Causal(wrong) => super::Violation::operations(&**wrong),
            Wrong::Cycle { steps, .. } => {
                let of = |step: &Step| match step.because {
                    Because::Session(_, first, second) => vec![first.number, second.number],
                    Because::Initial => Vec::new(),
                };
                steps.iter().flat_map(of).collect()
            }
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::ThinAir(thin_air) => write!(f, "{thin_air}"),
            Wrong::Causal(wrong) => write!(f, "{wrong}"),
            Wrong::Cycle { key, steps } => {
                for (place, step) in steps.iter().enumerate() {
                    let Step { earlier, later, because } = step;
                    f.write_str(if place == 0 { "" } else { "; " })?;
                    match because {
                        Because::Initial => write!(f, "{earlier}{} is the initial value, so before {later}", Of(key))?,
                        Because::Session(guarantee, first, second) => {
                            let (did, then, order) = match guarantee {
                                Guarantee::ReadYourWrites => ("wrote", "read", "is not after"),
                                Guarantee::MonotonicReads => ("read", "read", "is not after"),
                                Guarantee::MonotonicWrites => ("wrote", "wrote", "is before"),
                                Guarantee::WritesFollowReads => ("read", "wrote", "is before"),
                            };
                            let of = Of(key);
                            write!(
                                f,
                                "{first} {did} {earlier}{of}, then {second} {then} {later}, so {earlier} {order} it"
                            )?;
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

pub struct Session {
    options: Options,
    accesses: Accesses,
}

impl Session {
    pub fn new(options: Options) -> Session {
        Session { accesses: Accesses::new(options.initial.clone()), options }
    }
}

impl Check for Session {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        self.accesses.push(done)
    }

    fn finish(mut self) -> Report<Wrong> {
        let thin_air = self.accesses.finish();
        let mut report = Report::new(Oracle::Session);
        report.count("accesses", self.accesses.all.len() as u64);
        if let Some(reason) = self.accesses.undecided() {
            report.undecided.push(reason);
            return report;
        }
        let is_thin = !thin_air.is_empty();
        thin_air.into_iter().for_each(|thin_air| report.violation(Wrong::ThinAir(thin_air)));
        let versions = Versions { accesses: &self.accesses };
        for guarantee in Guarantee::ALL {
            versions.cycles(&[guarantee]).into_iter().for_each(|wrong| report.violation(wrong));
        }
        if report.violations.is_empty() {
            versions.cycles(&Guarantee::ALL).into_iter().for_each(|wrong| report.violation(wrong));
        }
        if report.violations.is_empty() && !is_thin {
            let Options { initial, budget } = self.options;
            let options = causal::Options { level: causal::Level::Convergent, initial, budget };
            let causal = causal::judge(&self.accesses, Vec::new(), &options);
            causal.violations.into_iter().for_each(|wrong| report.violation(Wrong::Causal(Box::new(wrong))));
            report.undecided = causal.undecided;
        }
        report
    }
}

struct Versions<'a> {
    accesses: &'a Accesses,
}

/// What one client has done with one key so far.
#[derive(Default)]
struct Seen {
    /// The node that none of its writes is after, and that of its reads.
    written: Option<u32>,
    read: Option<u32>,
    write_last: Option<(u32, u32)>,
    read_last: Option<(u32, u32)>,
}

/// Nodes: first the accesses (of which only writes are used), then an initial version per key, then what gathers versions of
/// one client. An edge says: not after. `by`: the guarantee, and the access that makes it so; of two edges through gathering
/// nodes the first has the client's first access, the last its second.
struct Graph {
    edges: Vec<(u32, u32, By)>,
    nodes: u32,
}

#[derive(Clone, Copy, Debug)]
enum By {
    Initial,
    /// From one version to another.
    Whole(Guarantee, u32, u32),
    Enter(u32),
    Along,
    Leave(Guarantee, u32),
}

impl Graph {
    fn gather(&mut self, before: Option<u32>, version: u32, access: u32) -> Option<u32> {
        let node = self.nodes;
        self.nodes += 1;
        self.edges.push((version, node, By::Enter(access)));
        self.edges.extend(before.map(|before| (before, node, By::Along)));
        Some(node)
    }
}

impl Versions<'_> {
    fn cycles(&self, guarantees: &[Guarantee]) -> Vec<Wrong> {
        let graph = self.graph(guarantees);
        let mut after: Vec<(u32, u32)> = graph.edges.iter().map(|(from, to, _)| (*from, *to)).collect();
        after.sort_unstable();
        let component = components(graph.nodes, &after);
        let versions = self.accesses.all.len() + self.accesses.keys.values.len();
        // By component, its first version, and whether it was told.
        let mut first: HashMap<u32, (u32, bool)> = HashMap::new();
        let mut wrongs = Vec::new();
        for version in 0..versions as u32 {
            match first.get_mut(&component[version as usize]) {
                None => {
                    first.insert(component[version as usize], (version, false));
                }
                Some((other, is_told)) if !*is_told => {
                    *is_told = true;
                    wrongs.push(self.cycle(&graph, &component, *other, version));
                }
                Some(_) => {}
            }
        }
        wrongs
    }

    fn graph(&self, guarantees: &[Guarantee]) -> Graph {
        let all = &self.accesses.all;
        let keys = self.accesses.keys.values.len();
        let mut graph = Graph { edges: Vec::new(), nodes: (all.len() + keys) as u32 };
        let mut seen: HashMap<(Process, u32), Seen> = HashMap::new();
        let wants = |guarantee| guarantees.contains(&guarantee);
        for (at, access) in all.iter().enumerate() {
            let at = at as u32;
            let initial = all.len() as u32 + access.key;
            let version = match access.kind {
                Kind::Write | Kind::MaybeWrite => at,
                Kind::Read(NONE) => initial,
                Kind::Read(write) => write,
            };
            let seen = seen.entry((self.accesses.op(at).process, access.key)).or_default();
            if let Kind::Read(_) = access.kind {
                if let Some(written) = seen.written.filter(|_| wants(Guarantee::ReadYourWrites)) {
                    graph.edges.push((written, version, By::Leave(Guarantee::ReadYourWrites, at)));
                }
                if let Some((earlier, read)) = seen.read_last.filter(|_| wants(Guarantee::MonotonicReads)) {
                    graph.edges.push((earlier, version, By::Whole(Guarantee::MonotonicReads, read, at)));
                }
                seen.read_last = Some((version, at));
                if wants(Guarantee::WritesFollowReads) {
                    seen.read = graph.gather(seen.read, version, at);
                }
                continue;
            }
            graph.edges.push((initial, version, By::Initial));
            if let Some((earlier, write)) = seen.write_last.filter(|_| wants(Guarantee::MonotonicWrites)) {
                graph.edges.push((earlier, version, By::Whole(Guarantee::MonotonicWrites, write, at)));
            }
            if let Some(read) = seen.read {
                graph.edges.push((read, version, By::Leave(Guarantee::WritesFollowReads, at)));
            }
            // An unknown write may come later than what its client does next.
            if access.kind == Kind::Write {
                seen.write_last = Some((version, at));
                if wants(Guarantee::ReadYourWrites) {
                    seen.written = graph.gather(seen.written, version, at);
                }
            }
        }
        graph
    }

    /// From one version to another and back, within their component.
    fn cycle(&self, graph: &Graph, component: &[u32], one: u32, two: u32) -> Wrong {
        let inside = component[one as usize];
        let mut after: BTreeMap<u32, Vec<(u32, By)>> = BTreeMap::new();
        for (from, to, by) in &graph.edges {
            if component[*from as usize] == inside && component[*to as usize] == inside {
                after.entry(*from).or_default().push((*to, *by));
            }
        }
        let mut steps = self.way(&after, one, two);
        steps.extend(self.way(&after, two, one));
        let all = self.accesses.all.len() as u32;
        let write = if one < all { one } else { two };
        Wrong::Cycle { key: self.accesses.key(write).clone(), steps }
    }

    fn way(&self, after: &BTreeMap<u32, Vec<(u32, By)>>, from: u32, to: u32) -> Vec<Step> {
        let mut came: BTreeMap<u32, (u32, By)> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front() {
            for (next, by) in after.get(&node).into_iter().flatten() {
                if *next != from && !came.contains_key(next) {
                    came.insert(*next, (node, *by));
                    queue.push_back(*next);
                }
            }
        }
        let mut edges = Vec::new();
        let mut at = to;
        while at != from {
            let (before, by) = came[&at];
            edges.push((before, at, by));
            at = before;
        }
        edges.reverse();
        let mut steps = Vec::new();
        let mut entered = (from, NONE);
        for (node, next, by) in edges {
            let (earlier, because) = match by {
                By::Initial => (node, Because::Initial),
                By::Whole(guarantee, first, second) => {
                    (node, Because::Session(guarantee, self.accesses.op(first), self.accesses.op(second)))
                }
                By::Enter(access) => {
                    entered = (node, access);
                    continue;
                }
                By::Along => continue,
                By::Leave(guarantee, access) => {
                    let (version, first) = entered;
                    (version, Because::Session(guarantee, self.accesses.op(first), self.accesses.op(access)))
                }
            };
            if earlier != next {
                steps.push(Step { earlier: self.value(earlier), later: self.value(next), because });
            }
        }
        steps
    }

    fn value(&self, version: u32) -> Value {
        match version < self.accesses.all.len() as u32 {
            true => self.accesses.value(version).clone(),
            false => self.accesses.initial.clone(),
        }
    }
}

/// Strongly connected components (Tarjan 1972) without recursion; `after` is sorted. By node, a number that the nodes of its
/// component share.
fn components(nodes: u32, after: &[(u32, u32)]) -> Vec<u32> {
    let mut starts = vec![0usize; nodes as usize + 1];
    after.iter().for_each(|(from, _)| starts[*from as usize + 1] += 1);
    (0..nodes as usize).for_each(|node| starts[node + 1] += starts[node]);
    let mut next = starts.clone();
    let (mut index, mut low) = (vec![NONE; nodes as usize], vec![0u32; nodes as usize]);
    let mut component = vec![NONE; nodes as usize];
    let (mut stack, mut path, mut count) = (Vec::new(), Vec::new(), 0);
    for root in 0..nodes {
        if index[root as usize] != NONE {
            continue;
        }
        path.push(root);
        while let Some(node) = path.last().copied() {
            let at = node as usize;
            if index[at] == NONE {
                (index[at], low[at]) = (count, count);
                count += 1;
                stack.push(node);
            }
            if next[at] < starts[at + 1] {
                let to = after[next[at]].1;
                next[at] += 1;
                if index[to as usize] == NONE {
                    path.push(to);
                } else if component[to as usize] == NONE {
                    low[at] = low[at].min(index[to as usize]);
                }
                continue;
            }
            path.pop();
            if let Some(parent) = path.last() {
                low[*parent as usize] = low[*parent as usize].min(low[at]);
            }
            if low[at] == index[at] {
                while let Some(member) = stack.pop() {
                    component[member as usize] = node;
                    if member == node {
                        break;
                    }
                }
            }
        }
    }
    component
}
