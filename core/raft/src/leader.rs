//! A leader: appends, counts, and answers.
//!
//! It sends an entry in the same step in which it hands it to its own disk (thesis §10.2.1), and then counts itself like any
//! follower: up to what is durable (R3). The story that forces this:
//!  1. The leader appends e5; its own sync is slow.
//!  2. One follower of two acknowledges e5. With the leader itself that looks like a quorum.
//!  3. The leader loses power. e5 is on one disk of three, and the other two replicas elect a leader without it.
//!
//! Time: each follower hears something at least every `heartbeat_ticks`; while appends and their acks flow, no heartbeats
//! are sent. A leader that has not heard a quorum for `election_ticks` steps down (check-quorum), so that one that can send
//! but not hear does not hold the others, who keep pre-votes off for its sake, hostage.
//!
//! Nor may one whose disk hangs. Its heartbeats rest on no disk, so the others stay loyal, and they commit without it; but it
//! applies nothing that its own disk does not hold (R5), and so answers no commit and no read of what was committed. It steps
//! down once its disk has owed an answer for two election timeouts (`Core::is_stalled`), and does not stand before it has got
//! one. A shorter stall costs less than an election, and a slow disk that answers is none.

use std::collections::VecDeque;

use tenet_types::{LogIndex, ReplicaId, Term, mark, unexpected};

use crate::candidate::Candidate;
use crate::follower::Follower;
use crate::node::{Node, Raw};
use crate::progress::{Mode, Progress};
use crate::reads::Reads;
use crate::tickets::Rest;
use crate::{AppendOutcome, Message, ProposalId, ReadId, Reply, SnapshotMeta};

/// Proposals whose entries are not known to be committed, by index.
pub(crate) type Proposed = VecDeque<(LogIndex, ProposalId)>;

#[derive(Clone, Debug)]
pub struct Leader {
    /// The first entry of this leadership. Everything committed before is committed with it (R4).
    pub(crate) noop: LogIndex,
    /// The others, in order of id.
    progress: Vec<(ReplicaId, Progress)>,
    proposed: Proposed,
    reads: Reads,
    /// The last round that began.
    round: u64,
    /// Ticks since quorum was last checked.
    check_ticks: u32,
    /// For sorting; kept to spare allocations.
    scratch: Vec<u64>,
}

impl Raw<Candidate> {
    /// Appends the no-op at once: until it is committed, nothing that was appended before is known to be.
    pub(crate) fn into_leader(mut self) -> Raw<Leader> {
        mark!("raft: elected");
        let noop = self.core.append_own(1).first;
        let progress = self.core.peers().map(|peer| (peer, Progress::new(noop))).collect();
        let mut raw = self.into_role(Leader {
            noop,
            progress,
            proposed: VecDeque::new(),
            reads: Reads::default(),
            round: 0,
            check_ticks: 0,
            scratch: Vec::new(),
        });
        raw.append_to_all();
        raw
    }
}

impl Raw<Leader> {
    /// Leaves the term, or only the lead. Reads go elsewhere; what becomes of the proposals is said at the end of the step.
    pub(crate) fn step_down(mut self, term: Term, leader: Option<ReplicaId>) -> Raw<Follower> {
        mark!("raft: leader steps down");
        for read in std::mem::take(&mut self.role.reads).give_up() {
            self.core.reply(Reply::NotLeader { read, leader });
        }
        self.core.orphan(std::mem::take(&mut self.role.proposed));
        self.into_follower(term, leader)
    }

    pub(crate) fn on_tick(mut self) -> Node {
        if self.core.is_stalled() {
            mark!("raft: leader with a stalled disk steps down");
            let term = self.core.hard_state.term;
            return Node::Follower(self.step_down(term, None));
        }
        self.role.check_ticks += 1;
        if self.role.check_ticks >= self.core.config.election_ticks {
            self.role.check_ticks = 0;
            let heard = self.role.progress.iter().filter(|(_, progress)| progress.heard).count();
            if heard + 1 < self.core.quorum() {
                mark!("raft: quorum not heard");
                let term = self.core.hard_state.term;
                return Node::Follower(self.step_down(term, None));
            }
            for (_, progress) in &mut self.role.progress {
                progress.heard = false;
            }
        }
        for position in 0..self.role.progress.len() {
            self.tick_one(position);
        }
        Node::Leader(self)
    }

    /// The timers of one follower.
    fn tick_one(&mut self, position: usize) {
        let due_ticks = self.core.config.heartbeat_ticks;
        let (peer, progress) = &mut self.role.progress[position];
        progress.unsent_ticks += 1;
        progress.unheard_ticks += 1;
        progress.unacked_ticks = if progress.is_waiting() { progress.unacked_ticks + 1 } else { 0 };
        let is_due = progress.unsent_ticks.max(progress.unheard_ticks) >= due_ticks;
        let is_overdue = progress.unacked_ticks >= due_ticks;
        if let Mode::Snapshot { retry_ticks } = &mut progress.mode {
            *retry_ticks -= 1;
            if *retry_ticks == 0 {
                mark!("raft: snapshot offered again");
                *retry_ticks = self.core.config.snapshot_retry_ticks;
                self.core.offer_snapshot(*peer);
            }
        }
        if is_due {
            self.heartbeat(position);
        }
        if is_overdue {
            mark!("raft: ack asked for again");
            self.ask(position);
        }
    }

    pub(crate) fn on_message(mut self, from: ReplicaId, message: Message) -> Node {
        match message {
            // Someone does not hear us. Others do, or we would have stepped down.
            Message::PreVote { term, last } => self.core.answer_pre_vote(from, term, last, true),
            // Someone stands in our own term, too late.
            Message::Vote { term: _, last } => {
                self.core.answer_vote(from, last);
            }
            Message::AppendReply { term: _, round, outcome } => {
                if let Some(position) = self.hear(from, round) {
                    self.on_append_reply(position, outcome);
                    self.confirm_reads();
                }
            }
            // A follower is in our term, and was after the round began.
            Message::HeartbeatReply { term: _, round } => {
                if self.hear(from, round).is_some() {
                    self.confirm_reads();
                }
            }
            // The election is over.
            Message::PreVoteReply { .. } | Message::VoteReply { .. } => {}
            // There is one leader in a term (R1).
            Message::Append { .. } | Message::Heartbeat { .. } => unexpected!("raft: two leaders in one term"),
        }
        Node::Leader(self)
    }

    /// Notes an answer in our term. `None` if no honest follower could have given it.
    fn hear(&mut self, from: ReplicaId, round: u64) -> Option<usize> {
        if round > self.role.round {
            unexpected!("raft: ack of a round that never began");
            return None;
        }
        let position = self.role.progress.binary_search_by_key(&from, |(peer, _)| *peer).expect("peers have progress");
        let progress = &mut self.role.progress[position].1;
        progress.heard = true;
        progress.unheard_ticks = 0;
        progress.round = progress.round.max(round);
        Some(position)
    }

    fn on_append_reply(&mut self, position: usize, outcome: AppendOutcome) {
        let base = self.core.log.base();
        let last = self.core.log.last_index();
        let progress = &mut self.role.progress[position].1;
        progress.unacked_ticks = 0;
        match outcome {
            AppendOutcome::Matched(index) if index > last => unexpected!("raft: ack of entries that were never sent"),
            AppendOutcome::Matched(index) => {
                if progress.on_matched(index, base.index) {
                    self.maybe_commit();
                }
                self.append_to(position);
            }
            AppendOutcome::Conflict(point) => self.on_conflict(position, point),
        }
    }

    /// The follower does not hold what precedes the entries it got. `point` is where its log may meet ours; we go back from
    /// there to an entry of ours that may be there (both skip whole terms, so each term costs one message at most).
    fn on_conflict(&mut self, position: usize, point: SnapshotMeta) {
        let progress = &mut self.role.progress[position].1;
        if matches!(progress.mode, Mode::Snapshot { .. }) {
            return; // it needs more than a better guess
        }
        // An answer to what we ask now lies before it, and where it meets our log is not before what was acknowledged since.
        // (1. The follower answers a conflict, from a long tail of an old term. 2. The answer is slow. 3. Asked again, it
        // overwrites the tail and acknowledges. 4. The answer arrives.)
        let asked = progress.next.prev();
        let matched = progress.matched;
        let meets = self.core.log.meeting_point(point);
        let is_stale = point.index < matched
            || point.index > asked
            || (point.index == asked && self.core.log.holds(point))
            || meets.is_some_and(|ours| ours.index < matched || (ours.index == matched && ours.term > point.term));
        if is_stale {
            mark!("raft: stale conflict ignored");
            return;
        }
        // Before our base, or at it in another term, nothing of ours is left that could meet it.
        let Some(ours) = meets.filter(|ours| ours.term <= point.term) else { return self.offer_snapshot(position) };
        progress.probe(ours.index.next());
        if ours == point {
            // Equal in index and term: equal up to there (log matching). Only what follows is missing.
            self.append_to(position);
        } else {
            mark!("raft: bare probe");
            self.ask(position);
        }
    }

    /// Sends what the follower misses, as far as its window allows.
    fn append_to(&mut self, position: usize) {
        let in_flight_max = self.core.config.appends_in_flight_max;
        let last = self.core.log.last_index();
        loop {
            let (peer, progress) = &mut self.role.progress[position];
            if progress.next > last || !progress.is_open(in_flight_max) {
                return;
            }
            let first = progress.next;
            let Some(term) = self.core.log.term_at(first.prev()) else { return self.offer_snapshot(position) };
            let prev = SnapshotMeta { index: first.prev(), term };
            let until = last.min(LogIndex(prev.index.0 + self.core.config.append_entries_max));
            progress.on_sent(until);
            let message = Message::Append {
                term: self.core.hard_state.term,
                prev,
                entries: Some(self.core.log.range(first, until)),
                commit: self.core.commit,
                round: self.role.round,
            };
            self.core.send(Rest::Nothing, *peer, message);
        }
    }

    fn append_to_all(&mut self) {
        for position in 0..self.role.progress.len() {
            self.append_to(position);
        }
    }

    /// Sends a bare append: does it hold the entry before the next one? While a snapshot is offered, does it hold our base?
    fn ask(&mut self, position: usize) {
        let (peer, progress) = &mut self.role.progress[position];
        progress.unacked_ticks = 0;
        let index = match &mut progress.mode {
            Mode::Snapshot { .. } => self.core.log.base().index,
            Mode::Stream { .. } => progress.next.prev(),
            Mode::Probe { asked } => {
                *asked = true;
                progress.next.prev()
            }
        };
        let Some(term) = self.core.log.term_at(index) else { return self.offer_snapshot(position) };
        progress.unsent_ticks = 0;
        let message = Message::Append {
            term: self.core.hard_state.term,
            prev: SnapshotMeta { index, term },
            entries: None,
            commit: self.core.commit,
            round: self.role.round,
        };
        self.core.send(Rest::Nothing, *peer, message);
    }

    /// The follower needs entries that we no longer hold.
    fn offer_snapshot(&mut self, position: usize) {
        mark!("raft: snapshot offered");
        let (peer, progress) = &mut self.role.progress[position];
        progress.mode = Mode::Snapshot { retry_ticks: self.core.config.snapshot_retry_ticks };
        self.core.offer_snapshot(*peer);
    }

    fn heartbeat(&mut self, position: usize) {
        let (peer, progress) = &mut self.role.progress[position];
        progress.unsent_ticks = 0;
        progress.unheard_ticks = 0;
        let message = Message::Heartbeat {
            term: self.core.hard_state.term,
            commit: self.core.commit.min(progress.matched),
            round: self.role.round,
        };
        self.core.send(Rest::Nothing, *peer, message);
    }

    pub(crate) fn propose(&mut self, proposals: Vec<ProposalId>) {
        if proposals.is_empty() {
            return;
        }
        let mut index = self.core.append_own(proposals.len() as u64).first;
        for proposal in proposals {
            self.role.proposed.push_back((index, proposal));
            self.core.reply(Reply::Appended { proposal, index });
            index = index.next();
        }
        self.append_to_all();
    }

    /// Commits what a quorum durably holds, if that includes an entry of our own term (R4, Raft §5.4.2).
    pub(crate) fn maybe_commit(&mut self) {
        // Ourselves only as far as our own disk has answered (R3).
        let own = self.core.tickets.durable();
        let matched = self.role.progress.iter().map(|(_, progress)| progress.matched.0);
        let index = LogIndex(quorum_of(&mut self.role.scratch, self.core.quorum(), matched.chain([own.0])));
        if index <= self.core.commit {
            return;
        }
        if index < self.role.noop {
            mark!("raft: entries of an older term are not counted");
            return;
        }
        if own < index {
            mark!("raft: committed before the leader's own disk answered");
        }
        self.core.commit_to(index);
        while let Some((index, proposal)) = self.role.proposed.pop_front_if(|(proposed, _)| *proposed <= index) {
            self.core.reply(Reply::Committed { proposal, index });
        }
    }

    pub(crate) fn read(&mut self, read: ReadId) {
        // Before the no-op is committed, our commit index may lag behind what our predecessor answered; after it, it does not.
        let index = self.core.commit.max(self.role.noop);
        if self.core.commit < self.role.noop {
            mark!("raft: read waits for the no-op");
        }
        self.role.reads.arrive(read, index);
        self.confirm_reads();
    }

    /// Begins rounds that someone waits for, ends those that a quorum acknowledged.
    fn confirm_reads(&mut self) {
        loop {
            let rounds = self.role.progress.iter().map(|(_, progress)| progress.round);
            let confirmed = quorum_of(&mut self.role.scratch, self.core.quorum(), rounds.chain([self.role.round]));
            self.role.reads.confirm(confirmed);
            if !self.role.reads.wants_round() {
                break;
            }
            self.role.round += 1;
            self.role.reads.begin(self.role.round);
            for position in 0..self.role.progress.len() {
                self.heartbeat(position);
            }
        }
        self.answer_reads();
    }

    pub(crate) fn answer_reads(&mut self) {
        while let Some((read, index)) = self.role.reads.pop(self.core.applied) {
            self.core.reply(Reply::Readable { read, index });
        }
    }

    pub(crate) fn matched(&self) -> Vec<(ReplicaId, LogIndex)> {
        let own = (self.core.config.me, self.core.tickets.durable());
        let mut matched: Vec<_> = self.role.progress.iter().map(|(peer, progress)| (*peer, progress.matched)).collect();
        matched.push(own);
        matched.sort_unstable();
        matched
    }

    pub(crate) fn progress(&self) -> &[(ReplicaId, Progress)] {
        &self.role.progress
    }

    pub(crate) fn invariants(&self) {
        let last = self.core.log.last_index();
        let term = self.core.hard_state.term;
        assert!(self.core.log.term_at(last) == Some(term), "a leader's log ends in its own term");
        assert!(
            self.role.noop <= self.core.log.base().index || self.core.log.term_at(self.role.noop) == Some(term),
            "the no-op is not of our term"
        );
        assert!(self.core.hard_state.vote == Some(self.core.config.me), "leads without its own vote");
        assert!(!self.core.is_stalled(), "R8: leads with a disk that hangs");
        assert!(self.role.progress.iter().map(|(peer, _)| *peer).eq(self.core.peers()), "progress of strangers");
        for (_, progress) in &self.role.progress {
            progress.invariants(last);
            assert!(progress.round <= self.role.round, "ack of a round that never began");
        }
        assert!(self.role.proposed.iter().is_sorted(), "proposals out of order");
        let bounds = self.role.proposed.front().zip(self.role.proposed.back());
        assert!(bounds.is_none_or(|(first, back)| self.core.commit < first.0 && back.0 <= last), "R7: unanswered");
        self.role.reads.invariants();
    }
}

/// The highest number that `quorum` of `values` reach.
fn quorum_of(scratch: &mut Vec<u64>, quorum: usize, values: impl Iterator<Item = u64>) -> u64 {
    scratch.clear();
    scratch.extend(values);
    scratch.sort_unstable();
    scratch[scratch.len() - quorum]
}
