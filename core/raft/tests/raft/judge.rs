//! Looks on after each step, knows everything, and panics at the first thing that must not be.
//!
//!  1  Election safety: one leader per term (R1).
//!  2  Leader append-only: who leads never changes what it has in that term.
//!  3  Log matching: an entry (index, term) has one payload and one predecessor, everywhere and for ever.
//!  4  Leader completeness: a new leader has everything committed in earlier terms.
//!  5  State machine safety: one payload is ever committed or applied at an index, and states at equal indexes are equal.
//!  6  R2 to R5: what is committed is on a quorum of disks, the last of it in its leader's own term; what is named for apply is committed and on the own disk; a
//!     vote, and an entry that was acknowledged, is on the disk of its giver when the message leaves.
//!  7  R6: a read's index is at least all that was committed, anywhere, when it began.
//!  8  R7: a proposal has one answer, and it is true.

use std::collections::BTreeMap;

use tenet_raft::{AppendOutcome, Effects, Envelope, Message, Node, ProposalId, ReadId, Reply, SnapshotMeta, Status};
use tenet_types::{LogIndex, ReplicaId, Term};

use crate::host::{Host, Machine, Payload};
use crate::prng::chain;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proposal {
    /// Given to this host.
    Open {
        at: usize,
    },
    /// In the log of this host.
    Appended {
        at: usize,
        index: LogIndex,
    },
    Committed,
    Refused,
    Dropped,
    Unknown,
    /// Its host crashed before it answered.
    Lost,
}

/// An entry that is committed.
#[derive(Clone, Copy, Debug)]
struct Committed {
    term: Term,
    payload: Payload,
    /// The state after it.
    hash: u64,
    /// The leader's term when it was committed.
    by: Term,
}

/// What happened, so that a test that tested nothing shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub steps: u64,
    pub elections: u64,
    pub committed: u64,
    pub unknown: u64,
    pub dropped: u64,
    pub refused: u64,
    pub readable: u64,
    pub crashes: u64,
    pub snapshots: u64,
}

pub struct Judge {
    leaders: BTreeMap<Term, usize>,
    /// (index, term) → (payload, term before).
    entries: BTreeMap<(LogIndex, Term), (Payload, Term)>,
    /// By index, from 1.
    committed: Vec<Committed>,
    /// Per host: its commit index at the last look.
    known: Vec<LogIndex>,
    proposals: BTreeMap<ProposalId, Proposal>,
    /// Open reads: at which host, and what was committed when they began.
    reads: BTreeMap<ReadId, (usize, LogIndex)>,
    pub counts: Counts,
}

impl Judge {
    pub fn new(hosts: usize) -> Judge {
        Judge {
            leaders: BTreeMap::new(),
            entries: BTreeMap::new(),
            committed: Vec::new(),
            known: vec![LogIndex::ZERO; hosts],
            proposals: BTreeMap::new(),
            reads: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Everything committed, anywhere.
    pub fn commit(&self) -> LogIndex {
        LogIndex(self.committed.len() as u64)
    }

    pub fn on_propose(&mut self, at: usize, proposal: ProposalId) {
        self.proposals.insert(proposal, Proposal::Open { at });
    }

    pub fn on_read(&mut self, at: usize, read: ReadId) {
        self.reads.insert(read, (at, self.commit()));
    }

    pub fn on_crash(&mut self, at: usize) {
        self.counts.crashes += 1;
        self.reads.retain(|_, (host, _)| *host != at);
        for proposal in self.proposals.values_mut() {
            if matches!(proposal, Proposal::Open { at: host } | Proposal::Appended { at: host, .. } if *host == at) {
                *proposal = Proposal::Lost;
            }
        }
    }

    pub fn on_restart(&mut self, at: usize, node: &Node) {
        self.known[at] = node.status().commit;
    }

    pub fn on_applied(&self, entry: SnapshotMeta, payload: Payload, state: Machine) {
        let committed = self.committed_at(entry.index);
        assert!(
            (committed.term, committed.payload) == (entry.term, payload),
            "5: applies {entry:?} {payload}, not {committed:?}"
        );
        assert!(committed.hash == state.hash, "5: states differ at {}", entry.index);
    }

    pub fn on_snapshot(&mut self, state: Machine) {
        self.counts.snapshots += 1;
        if state.applied.index > LogIndex::ZERO {
            let committed = self.committed_at(state.applied.index);
            assert!(
                committed.hash == state.hash && committed.term == state.applied.term,
                "5: a snapshot of another history"
            );
        }
    }

    fn committed_at(&self, index: LogIndex) -> Committed {
        *self.committed.get(index.0 as usize - 1).unwrap_or_else(|| panic!("5: {index} is not committed"))
    }

    /// All checks, after host `at` took a step.
    pub fn look(&mut self, at: usize, before: &Status, after: &Status, effects: &Effects, hosts: &[Host]) {
        self.counts.steps += 1;
        let host = &hosts[at];
        assert!(after.term >= before.term && after.applied >= before.applied, "{before:?} to {after:?}");
        assert!(after.commit >= before.commit, "commit went back: {before:?} to {after:?}");
        assert!(host.log.last() == after.last.index, "the machine and its host disagree: {after:?}, {:?}", host.log);
        if let Some((_, persist)) = &effects.persist {
            if let Some(range) = &persist.append {
                if before.leading && after.leading && before.term == after.term {
                    assert!(range.first == before.last.index.next(), "2: a leader changes its log: {effects:?}");
                }
                for index in (range.first.0..=range.last.0).map(LogIndex) {
                    self.check_matching(host, index);
                }
            }
            assert!(!(after.leading && persist.snapshot.is_some()), "2: a leader installs a snapshot");
        }
        if after.leading && !(before.leading && before.term == after.term) {
            self.check_election(at, after.term, host);
        }
        self.check_commit(at, after, hosts);
        for envelope in &effects.send_now {
            check_promise(envelope, host);
        }
        if let Some((first, last)) = effects.apply {
            for index in (first.0..=last.0).map(LogIndex) {
                let committed = self.committed_at(index);
                assert!(
                    host.disk.log.covers(index, committed.term),
                    "6: names {index} for apply, which is not on its disk"
                );
                let held = host.log.get(index);
                assert!(
                    held == Some((committed.term, committed.payload)),
                    "5: names {index} {held:?}, not {committed:?}"
                );
            }
        }
        for reply in &effects.reply {
            self.check_reply(at, reply, after);
        }
    }

    /// 3: by induction over the entries before it.
    fn check_matching(&mut self, host: &Host, index: LogIndex) {
        let (term, payload) = host.log.get(index).expect("it was just appended");
        let previous = host.log.term_at(index.prev()).expect("what precedes it is there");
        assert!(previous <= term, "terms descend at {index}");
        let known = *self.entries.entry((index, term)).or_insert((payload, previous));
        assert!(known == (payload, previous), "3: {index} of {term} is {known:?} and {:?}", (payload, previous));
    }

    fn check_election(&mut self, at: usize, term: Term, host: &Host) {
        self.counts.elections += 1;
        let leader = *self.leaders.entry(term).or_insert(at);
        assert!(leader == at, "1: {term} has two leaders, {} and {}", leader + 1, at + 1);
        for (position, committed) in self.committed.iter().enumerate() {
            let index = LogIndex(position as u64 + 1);
            // A late winner of an old term knows nothing of what was committed in later ones.
            if committed.by < term && index > host.log.base.index {
                let held = host.log.get(index);
                assert!(
                    held == Some((committed.term, committed.payload)),
                    "4: leader {} of {term} has {held:?} at {index}, committed is {committed:?}",
                    at + 1
                );
            }
        }
    }

    fn check_commit(&mut self, at: usize, after: &Status, hosts: &[Host]) {
        let host = &hosts[at];
        if after.leading && after.commit > self.known[at].max(self.commit()) {
            let counted = host.log.term_at(after.commit).expect("what is committed is there");
            assert!(
                counted == after.term,
                "6: {} of {counted} is committed by counting in {}",
                after.commit,
                after.term
            );
        }
        for index in (self.known[at].0 + 1..=after.commit.0).map(LogIndex) {
            // A snapshot covers it, and was checked when it came.
            let Some((term, payload)) = host.log.get(index) else { continue };
            if index <= self.commit() {
                let committed = self.committed_at(index);
                assert!(
                    (committed.term, committed.payload) == (term, payload),
                    "5: {index} committed twice: {committed:?}, {term} {payload}"
                );
                continue;
            }
            assert!(index == self.commit().next(), "5: a commit leaves a gap at {index}");
            assert!(after.leading, "{} commits {index}, of which no leader knew", at + 1);
            let disks = hosts.iter().filter(|host| host.disk.log.covers(index, term)).count();
            assert!(disks > hosts.len() / 2, "6: {index} of {term} is committed, on {disks} of {} disks", hosts.len());
            let hash = chain(self.committed.last().map_or(0, |last| last.hash), payload);
            self.committed.push(Committed { term, payload, hash, by: after.term });
        }
        self.known[at] = after.commit;
    }

    fn check_reply(&mut self, at: usize, reply: &Reply, after: &Status) {
        match reply {
            Reply::Appended { proposal, index } => {
                self.change(*proposal, Proposal::Appended { at, index: *index }, |old| old == Proposal::Open { at });
            }
            Reply::Committed { proposal, index } => {
                self.counts.committed += 1;
                self.change(*proposal, Proposal::Committed, |old| old == Proposal::Appended { at, index: *index });
                assert!(self.committed_at(*index).payload == proposal.0, "8: {proposal:?} is not committed at {index}");
            }
            Reply::Refused { proposal, .. } => {
                self.counts.refused += 1;
                self.change(*proposal, Proposal::Refused, |old| old == Proposal::Open { at });
            }
            Reply::Dropped { proposal } => {
                self.counts.dropped += 1;
                let old = self.proposals[proposal];
                let Proposal::Appended { at: host, index } = old else {
                    panic!("8: {proposal:?} dropped, was {old:?}")
                };
                assert!(host == at, "8: {proposal:?} answered by another host");
                assert!(self.committed_at(index).payload != proposal.0, "8: {proposal:?} dropped, but committed");
                self.proposals.insert(*proposal, Proposal::Dropped);
            }
            Reply::Unknown { proposal } => {
                self.counts.unknown += 1;
                self.change(
                    *proposal,
                    Proposal::Unknown,
                    |old| matches!(old, Proposal::Appended { at: host, .. } if host == at),
                );
                assert!(!after.leading, "8: {proposal:?} unknown to its leader");
            }
            Reply::Readable { read, index } => {
                self.counts.readable += 1;
                let (host, began) = self.reads.remove(read).unwrap_or_else(|| panic!("7: {read:?} answered twice"));
                assert!(host == at, "7: {read:?} answered by another host");
                assert!(*index >= began, "7: {read:?} reads {index}, {began} was committed before it began");
                assert!(after.applied >= *index, "7: {read:?} reads {index}, applied is {}", after.applied);
            }
            Reply::NotLeader { read, .. } => {
                assert!(self.reads.remove(read).is_some_and(|(host, _)| host == at), "7: {read:?} answered twice");
            }
        }
    }

    fn change(&mut self, proposal: ProposalId, new: Proposal, allowed: impl Fn(Proposal) -> bool) {
        let old = self.proposals.insert(proposal, new).expect("it was proposed");
        assert!(allowed(old), "8: {proposal:?} is {new:?}, was {old:?}");
    }

    /// After everything is over: nobody waits for an answer, and no answer was a lie.
    pub fn finish(&self) {
        assert!(self.reads.is_empty(), "7: reads without an answer: {:?}", self.reads);
        let committed: BTreeMap<Payload, usize> =
            self.committed.iter().enumerate().map(|(position, entry)| (entry.payload, position)).collect();
        assert!(committed.len() == self.committed.len(), "8: a proposal is committed twice");
        for (id, proposal) in &self.proposals {
            let there = committed.contains_key(&id.0);
            match proposal {
                Proposal::Open { .. } | Proposal::Appended { .. } => panic!("8: {id:?} has no answer: {proposal:?}"),
                Proposal::Committed => assert!(there, "8: {id:?} was said to be committed"),
                Proposal::Refused | Proposal::Dropped => assert!(!there, "8: {id:?} is committed, but {proposal:?}"),
                Proposal::Unknown | Proposal::Lost => {}
            }
        }
    }
}

/// 6: what a message promises is on the disk of its sender when it leaves.
pub fn check_promise(envelope: &Envelope, host: &Host) {
    let disk = &host.disk;
    let promised = |term: Term, vote: ReplicaId| {
        disk.hard_state.term > term || (disk.hard_state.term == term && disk.hard_state.vote == Some(vote))
    };
    match &envelope.message {
        Message::Vote { term, .. } => assert!(promised(*term, host.me()), "6: stands before its vote is durable"),
        Message::VoteReply { term, granted: true } => {
            assert!(promised(*term, envelope.to), "6: votes before the vote is durable: {envelope:?}, {disk:?}");
        }
        Message::AppendReply { term, outcome: AppendOutcome::Matched(index), .. } => {
            assert!(disk.hard_state.term >= *term, "6: acks in a term that is not durable");
            // In a later term it may have been overwritten; in this one it is there.
            assert!(disk.hard_state.term > *term || disk.log.last() >= *index, "6: acks {index} before it is durable");
        }
        Message::HeartbeatReply { term, .. } => {
            assert!(disk.hard_state.term >= *term, "6: acks in a term that is not durable");
        }
        Message::PreVote { .. }
        | Message::PreVoteReply { .. }
        | Message::AppendReply { .. }
        | Message::VoteReply { granted: false, .. }
        | Message::Append { .. }
        | Message::Heartbeat { .. } => {}
    }
}
