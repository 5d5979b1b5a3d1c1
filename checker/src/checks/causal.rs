//! Check `causal`: whoever sees an effect sees its causes.
//!
//! After Bouajjani, Enea, Guerraoui and Hamza, "On verifying causal consistency" (POPL 2017): for histories of registers
//! where each value is written once (see [`accesses`](super::accesses)), each kind of causal consistency is the absence of a
//! few patterns. *Causality* is the least order that has each client's own order and puts a write before what reads it.
//!
//! | pattern | what it is | rules out |
//! |---|---|---|
//! | thin-air-read | a read of what nobody can have written | all |
//! | cyclic-causality | something is its own cause | all |
//! | write-before-initial-read | a read of the initial value, though a write of the key is among its causes | all |
//! | overwritten-read | a read of a value, though a write among its causes has that value's write among its own | all |
//! | cyclic-conflict | a write among a read's causes must come before the write that it shows; all such together go round | convergence |
//! | memory-initial-read, cyclic-memory | the same for the order that one client sees, as its reads force it | memory |
//!
//! - `Causal` (CC): what each operation saw fits some order of its causes.
//! - `Convergent` (CCv): one order for all, in which conflicting writes are settled: replicas agree in the end.
//! - `Memory` (CM): each client sees all of its own operations in one order of causes.
//!
//! Each write knows how many writes of each client are among its causes (vector clocks; only clients that write count, and an
//! unknown write that was read is a client of its own). For CC and CCv that is linear in history times clients that write.
//! CM repeats it for each client until nothing more follows; bounded by the budget, like the memory for the clocks.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use tenet_histories::{Process, Value};

use super::accesses::{Access, Accesses, Kind, NONE, ThinAir};
use super::{Check, Done, Of, Op, Report};
use crate::budget::{Budget, Exhausted, Meter};
use crate::{CheckError, Oracle};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Causal,
    Convergent,
    Memory,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Causal, Level::Convergent, Level::Memory];

    pub fn name(self) -> &'static str {
        match self {
            Level::Causal => "causal",
            Level::Convergent => "causal-convergence",
            Level::Memory => "causal-memory",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub level: Level,
    /// The value of every key at first.
    pub initial: Value,
    pub budget: Budget,
}

/// Why one access comes before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    SameProcess,
    /// The second reads what the first wrote.
    ReadsFrom,
    /// Both write the key; this read has the first among its causes and shows the second.
    Shown(Op),
}

/// An access of an operation, as proofs name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Did {
    pub op: Op,
    pub is_write: bool,
    pub key: Value,
    pub value: Value,
}

/// One access before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub first: Did,
    pub because: Because,
    pub second: Did,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    ThinAir(ThinAir),
    /// Each comes before the next, and the last before the first; `rules_out` says what kind of before.
    Cycle {
        steps: Vec<Step>,
        rules_out: Level,
    },
    /// The steps lead from a write to a read of its key, which shows the initial value.
    InitialRead {
        steps: Vec<Step>,
        rules_out: Level,
    },
    /// The steps lead from a write to `over`, another write of the key, and from there to a read that shows the first.
    Overwritten {
        over: Box<Did>,
        steps: Vec<Step>,
    },
}

impl Wrong {
    /// The weakest level that it rules out: `Causal` stands for all.
    pub fn level(&self) -> Level {
        match self {
            Wrong::ThinAir(_) | Wrong::Overwritten { .. } => Level::Causal,
            Wrong::Cycle { rules_out, .. } | Wrong::InitialRead { rules_out, .. } => *rules_out,
        }
    }

    pub fn rules_out(&self, level: Level) -> bool {
        self.level() == Level::Causal || self.level() == level
    }

    fn steps(&self) -> &[Step] {
        match self {
            Wrong::ThinAir(_) => &[],
            Wrong::Cycle { steps, .. } | Wrong::InitialRead { steps, .. } | Wrong::Overwritten { steps, .. } => steps,
        }
    }
}

impl super::Violation for Wrong {
    fn name(&self) -> &'static str {
        match (self, self.level()) {
            (Wrong::ThinAir(_), _) => "thin-air-read",
            (Wrong::Cycle { .. }, Level::Causal) => "cyclic-causality",
            (Wrong::Cycle { .. }, Level::Convergent) => "cyclic-conflict",
            (Wrong::Cycle { .. }, Level::Memory) => "cyclic-memory",
            (Wrong::InitialRead { .. }, Level::Memory) => "memory-initial-read",
            (Wrong::InitialRead { .. }, _) => "write-before-initial-read",
            (Wrong::Overwritten { .. }, _) => "overwritten-read",
        }
    }

    fn operations(&self) -> Vec<usize> {
        if let Wrong::ThinAir(thin_air) = self {
            return thin_air.operations();
        }
        let of = |step: &Step| {
            let shown = if let Because::Shown(read) = step.because { Some(read.number) } else { None };
            [Some(step.first.op.number), Some(step.second.op.number), shown].into_iter().flatten()
        };
        let mut operations: Vec<usize> = self.steps().iter().flat_map(of).collect();
        operations.sort_unstable();
        operations.dedup();
        operations
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let did = if self.is_write { "wrote" } else { "read" };
        write!(f, "{} {did} {}{}", self.op, self.value, Of(&self.key))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.because {
            Because::SameProcess => write!(f, "then {}", self.second),
            Because::ReadsFrom => write!(f, "which {} read", self.second.op),
            Because::Shown(read) => {
                write!(f, "which {read} knew of when it read {}, so that after it {}", self.second.value, self.second)
            }
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Wrong::ThinAir(thin_air) = self {
            return write!(f, "{thin_air}");
        }
        for (place, step) in self.steps().iter().enumerate() {
            if place == 0 {
                write!(f, "{}", step.first)?;
            }
            write!(f, ", {step}")?;
        }
        match self {
            Wrong::ThinAir(_) => Ok(()),
            Wrong::Cycle { .. } => write!(f, ": so it comes before itself"),
            Wrong::InitialRead { steps, .. } => {
                write!(f, ": but that read shows the initial value{}", Of(&steps[0].first.key))
            }
            Wrong::Overwritten { over, steps } => {
                let shown = &steps[0].first.value;
                write!(f, ": so {shown} was known to be overwritten by {}, and was read", over.value)
            }
        }
    }
}

pub struct Causal {
    options: Options,
    accesses: Accesses,
}

impl Causal {
    pub fn new(options: Options) -> Causal {
        Causal { accesses: Accesses::new(options.initial.clone()), options }
    }
}

impl Check for Causal {
    type Violation = Wrong;

    fn on_done(&mut self, done: &Done<'_>) -> Result<(), CheckError> {
        self.accesses.push(done)
    }

    fn finish(mut self) -> Report<Wrong> {
        let thin_air = self.accesses.finish();
        judge(&self.accesses, thin_air, &self.options)
    }
}

/// `thin_air`: what the accesses said of themselves.
pub(super) fn judge(accesses: &Accesses, thin_air: Vec<ThinAir>, options: &Options) -> Report<Wrong> {
    let mut report = Report::new(Oracle::Causal);
    if let Some(reason) = accesses.undecided() {
        report.undecided.push(reason);
        return report;
    }
    if thin_air.is_empty() {
        match Order::new(accesses).judge(options) {
            Ok(found) => found.into_iter().for_each(|wrong| report.violation(wrong)),
            Err(why) => report.undecided.push(why.to_string()),
        }
    }
    thin_air.into_iter().for_each(|thin_air| report.violation(Wrong::ThinAir(thin_air)));
    report
}

/// Accesses, and which come before which for sure.
struct Order<'a> {
    accesses: &'a Accesses,
    /// By access: whether it counts. An unknown write that nobody read does not.
    counts: Vec<bool>,
    /// By access: the one before it of the same process; `NONE`.
    before: Vec<u32>,
    /// By write: its column, and its place in it from 1.
    place: Vec<(u32, u32)>,
    columns: usize,
    /// By key: the columns with writes of it, each with places and writes in order.
    writers: Vec<Vec<Writer>>,
}

struct Writer {
    column: u32,
    writes: Vec<(u32, u32)>,
}

/// A write of a key that a read has among its causes, and the write that it shows (`NONE`: the initial value).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Conflict {
    known: u32,
    shown: u32,
    read: u32,
}

/// What was left when no access was without others before it: all on or behind cycles.
struct Stuck {
    left: Vec<bool>,
}

impl<'a> Order<'a> {
    fn new(accesses: &'a Accesses) -> Order<'a> {
        let all = &accesses.all;
        let mut counts: Vec<bool> = all.iter().map(|access| access.kind != Kind::MaybeWrite).collect();
        for access in all {
            if let Kind::Read(write) = access.kind
                && write != NONE
            {
                counts[write as usize] = true;
            }
        }
        let mut before = vec![NONE; all.len()];
        let mut place = vec![(NONE, 0); all.len()];
        let mut writers: Vec<Vec<Writer>> = accesses.keys.values.iter().map(|_| Vec::new()).collect();
        let mut last: BTreeMap<Process, u32> = BTreeMap::new();
        let mut column_of: BTreeMap<Process, (u32, u32)> = BTreeMap::new();
        let mut columns = 0;
        for (at, access) in all.iter().enumerate().filter(|(at, _)| counts[*at]) {
            let process = accesses.op(at as u32).process;
            before[at] = last.get(&process).copied().unwrap_or(NONE);
            if access.kind != Kind::MaybeWrite {
                last.insert(process, at as u32);
            }
            match access.kind {
                Kind::Read(_) => continue,
                Kind::MaybeWrite => {
                    place[at] = (columns, 1);
                    columns += 1;
                }
                Kind::Write => {
                    let (column, count) = column_of.entry(process).or_insert_with(|| {
                        columns += 1;
                        (columns - 1, 0)
                    });
                    *count += 1;
                    place[at] = (*column, *count);
                }
            }
            let (column, number) = place[at];
            let of_key = &mut writers[access.key as usize];
            match of_key.iter_mut().find(|writer| writer.column == column) {
                Some(writer) => writer.writes.push((number, at as u32)),
                None => of_key.push(Writer { column, writes: vec![(number, at as u32)] }),
            }
        }
        Order { accesses, counts, before, place, columns: columns as usize, writers }
    }

    fn access(&self, at: u32) -> Access {
        self.accesses.all[at as usize]
    }

    /// The accesses right before one, without `extra`.
    fn before(&self, at: u32) -> impl Iterator<Item = (u32, Because)> {
        let shown = if let Kind::Read(write) = self.access(at).kind { write } else { NONE };
        let both = [(self.before[at as usize], Because::SameProcess), (shown, Because::ReadsFrom)];
        both.into_iter().filter(|(before, _)| *before != NONE)
    }

    /// Goes through all accesses, causes first; `extra`, sorted by `shown`, adds more befores, which count in clocks
    /// only if `joins_extra`: whether there is a cycle does not take them. `on_read` is told, for each
    /// read, how many writes of each column come before it, and the same of every write so far.
    fn propagate(
        &self,
        extra: &[Conflict],
        joins_extra: bool,
        meter: &mut Meter,
        mut on_read: impl FnMut(u32, &[u32], &Clocks),
    ) -> Result<Result<(), Stuck>, Exhausted> {
        let length = self.accesses.all.len();
        let extra_of = |at: u32| {
            let from = extra.partition_point(|conflict| conflict.shown < at);
            extra[from..].iter().take_while(move |conflict| conflict.shown == at)
        };
        // What comes right after each, as ranges of one array.
        let mut missing = vec![0u32; length];
        let mut starts = vec![0u32; length + 1];
        let each_edge = |edge: &mut dyn FnMut(u32, u32)| {
            for at in (0..length as u32).filter(|at| self.counts[*at as usize]) {
                self.before(at).for_each(|(before, _)| edge(before, at));
                extra_of(at).for_each(|conflict| edge(conflict.known, at));
            }
        };
        each_edge(&mut |from, to| {
            starts[from as usize + 1] += 1;
            missing[to as usize] += 1;
        });
        (0..length).for_each(|at| starts[at + 1] += starts[at]);
        let mut after = vec![0u32; starts[length] as usize];
        let mut filled = starts.clone();
        each_edge(&mut |from, to| {
            after[filled[from as usize] as usize] = to;
            filled[from as usize] += 1;
        });
        let mut clocks = Clocks { columns: self.columns, of_write: vec![NONE; length], cells: Vec::new() };
        let mut sessions: BTreeMap<Process, Vec<u32>> = BTreeMap::new();
        let is_free = |at: &u32| self.counts[*at as usize] && missing[*at as usize] == 0;
        let mut queue: VecDeque<u32> = (0..length as u32).filter(is_free).collect();
        let mut left = self.counts.clone();
        let zero = vec![0u32; self.columns];
        while let Some(at) = queue.pop_front() {
            left[at as usize] = false;
            meter.step((clocks.cells.len() + after.len()) * 4)?;
            let access = self.access(at);
            let process = self.accesses.op(at).process;
            // An unknown write took what came before it when that was done, and gives nothing to its session.
            let mut clock = match access.kind {
                Kind::MaybeWrite => match self.before[at as usize] {
                    NONE => zero.clone(),
                    _ => clocks.take_snapshot(at),
                },
                Kind::Write | Kind::Read(_) => sessions.remove(&process).unwrap_or_else(|| zero.clone()),
            };
            let joined = self.before(at).filter(|(_, because)| *because == Because::ReadsFrom).map(|(write, _)| write);
            let forced = extra_of(at).map(|conflict| conflict.known).filter(|_| joins_extra);
            for write in joined.chain(forced) {
                clock.iter_mut().zip(clocks.of(write)).for_each(|(mine, its)| *mine = (*mine).max(*its));
            }
            match access.kind {
                Kind::Read(_) => on_read(at, &clock, &clocks),
                Kind::Write | Kind::MaybeWrite => {
                    let (column, number) = self.place[at as usize];
                    clock[column as usize] = clock[column as usize].max(number);
                    clocks.keep(at, &clock);
                }
            }
            for next in &after[starts[at as usize] as usize..starts[at as usize + 1] as usize] {
                if self.before[*next as usize] == at && self.access(*next).kind == Kind::MaybeWrite {
                    clocks.keep(*next, &clock);
                }
                missing[*next as usize] -= 1;
                if missing[*next as usize] == 0 {
                    queue.push_back(*next);
                }
            }
            if access.kind != Kind::MaybeWrite {
                sessions.insert(process, clock);
            }
        }
        Ok(if left.contains(&true) { Err(Stuck { left }) } else { Ok(()) })
    }

    /// The last write of each column to the read's key that comes before the read, but for the one that it shows.
    fn conflicts(&self, read: u32, clock: &[u32], mut each: impl FnMut(Conflict)) {
        let Kind::Read(shown) = self.access(read).kind else { return };
        for writer in &self.writers[self.access(read).key as usize] {
            let until = writer.writes.partition_point(|(number, _)| *number <= clock[writer.column as usize]);
            if let Some((_, known)) = writer.writes[..until].last()
                && *known != shown
            {
                each(Conflict { known: *known, shown, read });
            }
        }
    }

    fn judge(&self, options: &Options) -> Result<Vec<Wrong>, Exhausted> {
        let mut meter = Meter::new(&options.budget);
        let (wrongs, conflicts) = self.causal(options, &mut meter)?;
        match options.level {
            _ if !wrongs.is_empty() => Ok(wrongs),
            Level::Causal => Ok(Vec::new()),
            Level::Convergent => match self.propagate(&conflicts, false, &mut meter, |_, _, _| {})? {
                Ok(()) => Ok(Vec::new()),
                Err(stuck) => Ok(vec![self.cycle(&stuck, &conflicts, Level::Convergent)]),
            },
            Level::Memory => Ok(self.memory(&mut meter)?.into_iter().collect()),
        }
    }

    /// What is not causal; else, where convergence is asked for, what the order of conflicts must respect.
    fn causal(&self, options: &Options, meter: &mut Meter) -> Result<(Vec<Wrong>, Vec<Conflict>), Exhausted> {
        let bytes_max = options.budget.bytes_max;
        let mut conflicts: Vec<Conflict> = Vec::new();
        let (mut initial, mut overwritten): (Option<Conflict>, Option<Conflict>) = (None, None);
        let mut is_full = false;
        let ended = self.propagate(&[], false, meter, |read, clock, clocks| {
            self.conflicts(read, clock, |conflict| {
                if conflict.shown == NONE {
                    initial.get_or_insert(conflict);
                } else if clocks.knows(conflict.known, self.place[conflict.shown as usize]) {
                    overwritten.get_or_insert(conflict);
                } else if options.level == Level::Convergent
                    && !clocks.knows(conflict.shown, self.place[conflict.known as usize])
                {
                    is_full = conflicts.len() * size_of::<Conflict>() >= bytes_max;
                    if !is_full {
                        conflicts.push(conflict);
                    }
                }
            });
        })?;
        if let Err(stuck) = ended {
            return Ok((vec![self.cycle(&stuck, &[], Level::Causal)], Vec::new()));
        }
        let mut wrongs = Vec::new();
        if let Some(Conflict { known, read, .. }) = initial {
            let steps = self.path(known, read, &[]);
            wrongs.push(Wrong::InitialRead { steps, rules_out: Level::Causal });
        }
        if let Some(Conflict { known, shown, read }) = overwritten {
            let mut steps = self.path(shown, known, &[]);
            steps.extend(self.path(known, read, &[]));
            wrongs.push(Wrong::Overwritten { over: Box::new(self.did(known)), steps });
        }
        if wrongs.is_empty() && is_full {
            return Err(Exhausted::Bytes { max: bytes_max });
        }
        sort(&mut conflicts);
        Ok((wrongs, conflicts))
    }

    /// Each client that reads is asked for itself, until nothing more follows.
    fn memory(&self, meter: &mut Meter) -> Result<Option<Wrong>, Exhausted> {
        let mut readers: Vec<Process> = Vec::new();
        for at in 0..self.accesses.all.len() as u32 {
            if matches!(self.access(at).kind, Kind::Read(_)) {
                readers.push(self.accesses.op(at).process);
            }
        }
        readers.sort_unstable();
        readers.dedup();
        for reader in readers {
            let mut forced: Vec<Conflict> = Vec::new();
            loop {
                let (mut new, mut initial): (Vec<Conflict>, Option<Conflict>) = (Vec::new(), None);
                let ended = self.propagate(&forced, true, meter, |read, clock, clocks| {
                    if self.accesses.op(read).process != reader {
                        return;
                    }
                    self.conflicts(read, clock, |conflict| {
                        if conflict.shown == NONE {
                            initial.get_or_insert(conflict);
                        } else if !clocks.knows(conflict.shown, self.place[conflict.known as usize]) {
                            new.push(conflict);
                        }
                    });
                })?;
                if let Err(stuck) = ended {
                    return Ok(Some(self.cycle(&stuck, &forced, Level::Memory)));
                }
                if let Some(Conflict { known, read, .. }) = initial {
                    let steps = self.path(known, read, &forced);
                    return Ok(Some(Wrong::InitialRead { steps, rules_out: Level::Memory }));
                }
                if new.is_empty() {
                    break;
                }
                forced.extend(new);
                sort(&mut forced);
            }
        }
        Ok(None)
    }

    fn did(&self, at: u32) -> Did {
        let (key, value) = (self.accesses.key(at).clone(), self.accesses.value(at).clone());
        Did { op: self.accesses.op(at), is_write: self.access(at).is_write(), key, value }
    }

    /// A shortest way from one access to another, which must be there.
    fn path(&self, from: u32, to: u32, extra: &[Conflict]) -> Vec<Step> {
        self.way(from, to, extra, &self.counts).unwrap_or_default()
    }

    /// Backwards, breadth first, over what is allowed.
    fn way(&self, from: u32, to: u32, extra: &[Conflict], allowed: &[bool]) -> Option<Vec<Step>> {
        // By access: what it comes before on the way, and why.
        let mut next: BTreeMap<u32, (u32, Because)> = BTreeMap::new();
        let mut queue = VecDeque::from([to]);
        while let Some(at) = queue.pop_front() {
            let first = extra.partition_point(|conflict| conflict.shown < at);
            let forced = extra[first..].iter().take_while(|conflict| conflict.shown == at);
            let forced = forced.map(|conflict| (conflict.known, Because::Shown(self.accesses.op(conflict.read))));
            for (before, because) in self.before(at).chain(forced) {
                if !allowed[before as usize] || next.contains_key(&before) {
                    continue;
                }
                next.insert(before, (at, because));
                if before == from {
                    let mut steps = Vec::new();
                    let mut at = from;
                    loop {
                        let (then, because) = next[&at];
                        steps.push(Step { first: self.did(at), because, second: self.did(then) });
                        at = then;
                        if at == to {
                            return Some(steps);
                        }
                    }
                }
                queue.push_back(before);
            }
        }
        None
    }

    /// A cycle among what is left.
    fn cycle(&self, stuck: &Stuck, extra: &[Conflict], rules_out: Level) -> Wrong {
        // Each that is left has one before it that is left too: going back ends on a cycle.
        let mut at = stuck.left.iter().position(|left| *left).unwrap_or(0) as u32;
        let mut seen = vec![false; stuck.left.len()];
        while !std::mem::replace(&mut seen[at as usize], true) {
            let first = extra.partition_point(|conflict| conflict.shown < at);
            let forced =
                extra[first..].iter().take_while(|conflict| conflict.shown == at).map(|conflict| conflict.known);
            let mut before = self.before(at).map(|(before, _)| before).chain(forced);
            at = before.find(|before| stuck.left[*before as usize]).unwrap_or(at);
        }
        let steps = self.way(at, at, extra, &stuck.left).unwrap_or_default();
        Wrong::Cycle { steps, rules_out }
    }
}

/// By what they show; one of each pair of writes.
fn sort(conflicts: &mut Vec<Conflict>) {
    conflicts.sort_unstable_by_key(|conflict| (conflict.shown, conflict.known, conflict.read));
    conflicts.dedup_by_key(|conflict| (conflict.shown, conflict.known));
}

/// How many writes of each column come before each write, itself included.
struct Clocks {
    columns: usize,
    /// By access: where its row is.
    of_write: Vec<u32>,
    cells: Vec<u32>,
}

impl Clocks {
    fn of(&self, write: u32) -> &[u32] {
        let row = self.of_write[write as usize] as usize * self.columns;
        &self.cells[row..row + self.columns]
    }

    fn keep(&mut self, write: u32, clock: &[u32]) {
        if self.of_write[write as usize] == NONE {
            self.of_write[write as usize] = (self.cells.len() / self.columns) as u32;
            self.cells.extend_from_slice(clock);
        } else {
            let row = self.of_write[write as usize] as usize * self.columns;
            self.cells[row..row + self.columns].copy_from_slice(clock);
        }
    }

    fn take_snapshot(&self, write: u32) -> Vec<u32> {
        self.of(write).to_vec()
    }

    /// Whether the write at that place comes before this one, or is it.
    fn knows(&self, write: u32, (column, number): (u32, u32)) -> bool {
        self.of_write[write as usize] != NONE && self.of(write)[column as usize] >= number
    }
}
