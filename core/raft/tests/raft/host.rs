//! One replica's host, in memory: a disk that takes its time, a state machine, and the payloads.
//!
//! The disk takes records in order. What is `on its way` is lost by a crash, but for a prefix; what is durable may not have
//! been reported yet. The state machine is a hash chain, so that two that applied the same are equal and no others are.

use std::collections::VecDeque;

use tenet_raft::{
    Config, Effects, Envelope, HardState, LogRange, LogState, Message, Node, Restored, Run, SnapshotMeta, Ticket,
};
use tenet_types::{LogIndex, ReplicaId, Term};

use crate::prng::chain;

/// What an entry carries; unique among all entries ever made.
pub type Payload = u64;

/// A log with its payloads.
#[derive(Clone, Debug, Default)]
pub struct FullLog {
    pub base: SnapshotMeta,
    pub entries: VecDeque<(Term, Payload)>,
}

/// Everything applied, as a hash chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub applied: SnapshotMeta,
    pub hash: u64,
}

/// What one ticket writes.
#[derive(Clone, Debug)]
pub struct Record {
    pub ticket: Ticket,
    pub hard_state: Option<HardState>,
    pub snapshot: Option<Machine>,
    pub append: Option<(LogIndex, Vec<(Term, Payload)>)>,
}

/// What survives.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub hard_state: HardState,
    pub log: FullLog,
    /// The last checkpoint of the state machine.
    pub machine: Machine,
}

#[derive(Clone, Debug)]
pub enum Packet {
    Message { from: ReplicaId, to: ReplicaId, message: Message, payloads: Vec<Payload> },
    Snapshot { from: ReplicaId, to: ReplicaId, term: Term, machine: Machine },
}

pub struct Host {
    pub config: Config,
    /// `None` while it is down.
    pub node: Option<Node>,
    pub disk: Disk,
    // All that follows is lost by a crash.
    pub log: FullLog,
    /// Handed to the disk and not durable.
    pub writing: VecDeque<Record>,
    /// Durable, not reported.
    pub written: Option<Ticket>,
    /// Snapshots among what was written and not reported.
    pub installed: Option<Machine>,
    /// Waiting for their tickets.
    pub held: VecDeque<(Ticket, Envelope)>,
    pub applying: VecDeque<(SnapshotMeta, Payload)>,
    pub machine: Machine,
    /// Arrived, not yet in a record.
    pub received: Option<Machine>,
}

impl FullLog {
    pub fn last(&self) -> LogIndex {
        LogIndex(self.base.index.0 + self.entries.len() as u64)
    }

    pub fn get(&self, index: LogIndex) -> Option<(Term, Payload)> {
        let position = index.0.checked_sub(self.base.index.0 + 1)?;
        self.entries.get(position as usize).copied()
    }

    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index { Some(self.base.term) } else { self.get(index).map(|(term, _)| term) }
    }

    /// It has the entry, or what a snapshot that covers it stands for.
    pub fn covers(&self, index: LogIndex, term: Term) -> bool {
        index <= self.base.index || self.get(index).is_some_and(|(held, _)| held == term)
    }

    pub fn splice(&mut self, first: LogIndex, entries: &[(Term, Payload)]) {
        assert!(self.base.index < first && first <= self.last().next(), "{first} leaves a gap in {self:?}");
        self.entries.truncate((first.0 - self.base.index.0 - 1) as usize);
        self.entries.extend(entries);
    }

    pub fn compact(&mut self, base: SnapshotMeta) {
        assert!(self.term_at(base.index) == Some(base.term), "compacted to {base:?}: {self:?}");
        self.entries.drain(..(base.index.0 - self.base.index.0) as usize);
        self.base = base;
    }

    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (position, (term, _)) in self.entries.iter().enumerate() {
            if runs.last().is_none_or(|run| run.term != *term) {
                runs.push(Run { first: LogIndex(self.base.index.0 + 1 + position as u64), term: *term });
            }
        }
        runs
    }

    fn state(&self) -> LogState {
        let first = self.base.index.next();
        let runs = self.runs();
        let entries = (!runs.is_empty()).then(|| LogRange { first, last: self.last(), runs });
        LogState { base: self.base, entries }
    }

    /// The payloads of a range, if the log still holds it in the same terms.
    pub fn payloads(&self, range: &LogRange) -> Option<Vec<Payload>> {
        let indexes = range.first.0..=range.last.0;
        let one = |index| {
            let index = LogIndex(index);
            self.get(index).filter(|(term, _)| Some(*term) == range.term_at(index)).map(|(_, payload)| payload)
        };
        indexes.map(one).collect()
    }
}

impl Machine {
    pub fn apply(&mut self, entry: SnapshotMeta, payload: Payload) {
        assert!(entry.index == self.applied.index.next(), "applies {entry:?} after {:?}", self.applied);
        *self = Machine { applied: entry, hash: chain(self.hash, payload) };
    }
}

impl Disk {
    fn write(&mut self, record: &Record) {
        if let Some(hard_state) = record.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(machine) = record.snapshot {
            self.machine = machine;
            self.log = FullLog { base: machine.applied, entries: VecDeque::new() };
        }
        if let Some((first, entries)) = &record.append {
            self.log.splice(*first, entries);
        }
    }
}

impl Host {
    pub fn new(config: Config, luck: u64) -> Host {
        let mut host = Host {
            config,
            node: None,
            disk: Disk::default(),
            log: FullLog::default(),
            writing: VecDeque::new(),
            written: None,
            installed: None,
            held: VecDeque::new(),
            applying: VecDeque::new(),
            machine: Machine::default(),
            received: None,
        };
        host.restart(luck);
        host
    }

    /// Loses everything but the disk, which gets the first `keep` of the records that are on their way.
    pub fn crash(&mut self, keep: usize) {
        for record in self.writing.drain(..).take(keep) {
            self.disk.write(&record);
        }
        self.node = None;
        self.writing.clear();
        self.written = None;
        self.installed = None;
        self.held.clear();
        self.applying.clear();
        self.received = None;
    }

    pub fn restart(&mut self, luck: u64) {
        self.log = self.disk.log.clone();
        self.machine = self.disk.machine;
        let restored = Restored {
            hard_state: self.disk.hard_state,
            log: self.disk.log.state(),
            applied: self.disk.machine.applied.index,
        };
        self.node = Some(Node::restore(self.config.clone(), restored, luck));
    }

    /// Makes the first record that is on its way durable.
    pub fn sync_one(&mut self) {
        let record = self.writing.pop_front().expect("something is on its way");
        self.disk.write(&record);
        self.written = Some(record.ticket);
        self.installed = record.snapshot.or(self.installed);
    }

    /// What the disk has to report, and the messages that waited for it.
    pub fn report(&mut self) -> Option<(Ticket, Vec<Envelope>)> {
        let ticket = self.written.take()?;
        if let Some(machine) = self.installed.take() {
            self.machine = machine;
        }
        // `send_after` need not ascend: an ack may wait for less than the message before it.
        let (ready, held) = self.held.drain(..).partition(|(awaited, _)| *awaited <= ticket);
        self.held = held;
        let ready: VecDeque<(Ticket, Envelope)> = ready;
        Some((ticket, ready.into_iter().map(|(_, envelope)| envelope).collect()))
    }

    /// Applies the next entry. Returns what it was, and its payload.
    pub fn apply_one(&mut self) -> Option<(SnapshotMeta, Payload)> {
        while let Some((entry, payload)) = self.applying.pop_front() {
            // A snapshot may have overtaken it.
            if entry.index > self.machine.applied.index {
                self.machine.apply(entry, payload);
                return Some((entry, payload));
            }
        }
        None
    }

    /// Takes the disk's and the state machine's part of the effects; `payload_of` gives the payloads of what is appended.
    pub fn take(&mut self, effects: &Effects, payload_of: impl Fn(LogIndex) -> Payload) {
        if let Some((ticket, persist)) = &effects.persist {
            let snapshot = persist.snapshot.map(|meta| {
                let machine = self.received.take().expect("a snapshot is installed that never arrived");
                assert!(machine.applied == meta, "installs {meta:?}, received {machine:?}");
                self.log = FullLog { base: meta, entries: VecDeque::new() };
                machine
            });
            let append = persist.append.as_ref().map(|range| {
                let one = |index| (range.term_at(LogIndex(index)).expect("in range"), payload_of(LogIndex(index)));
                let entries: Vec<_> = (range.first.0..=range.last.0).map(one).collect();
                self.log.splice(range.first, &entries);
                (range.first, entries)
            });
            self.writing.push_back(Record { ticket: *ticket, hard_state: persist.hard_state, snapshot, append });
        }
        self.held.extend(effects.send_after.iter().cloned());
        if let Some((first, last)) = effects.apply {
            let queued = self.applying.back().map_or(LogIndex::ZERO, |(entry, _)| entry.index);
            let due = queued.max(self.machine.applied.index);
            assert!(first <= due.next(), "apply leaves a gap: {first} after {due}");
            for index in (first.0..=last.0).map(LogIndex) {
                let (term, payload) = self.log.get(index).expect("applies what is in the log");
                self.applying.push_back((SnapshotMeta { index, term }, payload));
            }
        }
    }

    pub fn me(&self) -> ReplicaId {
        self.config.me
    }

    /// Puts the payloads into an envelope. `None` if the log has changed since: it is discarded.
    pub fn fill(&self, envelope: Envelope) -> Option<Packet> {
        let payloads = match &envelope.message {
            Message::Append { entries: Some(range), .. } => self.log.payloads(range)?,
            _ => Vec::new(),
        };
        Some(Packet::Message { from: self.me(), to: envelope.to, message: envelope.message, payloads })
    }
}

impl Packet {
    pub fn from(&self) -> ReplicaId {
        match self {
            Packet::Message { from, .. } | Packet::Snapshot { from, .. } => *from,
        }
    }

    pub fn to(&self) -> ReplicaId {
        match self {
            Packet::Message { to, .. } | Packet::Snapshot { to, .. } => *to,
        }
    }
}
