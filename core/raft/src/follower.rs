//! A follower: takes the leader's word for everything, and stands for election when it hears none.

use tenet_types::{LogIndex, ReplicaId, mark, unexpected};

use crate::node::{Core, Node, Raw};
use crate::tickets::Rest;
use crate::{AppendOutcome, LogRange, Message, SnapshotMeta};

#[derive(Clone, Debug)]
pub struct Follower {
    pub(crate) leader: Option<ReplicaId>,
    /// Ticks since the leader was heard or a vote given.
    silence_ticks: u32,
    timeout_ticks: u32,
}

impl Follower {
    pub(crate) fn new(core: &Core, leader: Option<ReplicaId>) -> Follower {
        Follower { leader, silence_ticks: 0, timeout_ticks: core.draw_timeout() }
    }
}

impl Raw<Follower> {
    pub(crate) fn on_tick(mut self) -> Node {
        self.role.silence_ticks += 1;
        if self.role.silence_ticks >= self.role.timeout_ticks {
            return self.into_pre_candidate();
        }
        Node::Follower(self)
    }

    pub(crate) fn on_message(mut self, from: ReplicaId, message: Message) -> Node {
        match message {
            // Someone hears no leader. We do, or we would vote for it.
            Message::PreVote { term, last } => {
                let loyal = self.role.leader.is_some() && self.role.silence_ticks < self.core.config.election_ticks;
                self.core.answer_pre_vote(from, term, last, loyal);
            }
            // Someone stands in our term. Having voted, we give it time to win.
            Message::Vote { term: _, last } => {
                if self.core.answer_vote(from, last) {
                    self.role.silence_ticks = 0;
                }
            }
            // Our leader's entries.
            Message::Append { term: _, prev, entries, commit, round } => {
                if self.hear(from) {
                    self.on_append(from, prev, entries, commit, round);
                }
            }
            // Our leader lives.
            Message::Heartbeat { term: _, commit, round } => {
                if self.hear(from) {
                    self.on_heartbeat(from, commit, round);
                }
            }
            // Answers to what we asked when we stood or led; that is over.
            Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::AppendReply { .. }
            | Message::HeartbeatReply { .. } => {}
        }
        Node::Follower(self)
    }

    /// Notes that `from` leads in our term. False if that cannot be.
    fn hear(&mut self, from: ReplicaId) -> bool {
        if self.role.leader.is_some_and(|leader| leader != from) {
            unexpected!("raft: two leaders in one term");
            return false;
        }
        self.role.leader = Some(from);
        self.role.silence_ticks = 0;
        true
    }

    fn on_append(
        &mut self,
        from: ReplicaId,
        mut prev: SnapshotMeta,
        mut entries: Option<LogRange>,
        commit: LogIndex,
        round: u64,
    ) {
        let term = self.core.hard_state.term;
        if !is_sound(prev, entries.as_ref()) || entries.as_ref().is_some_and(|range| range.last_term() > term) {
            unexpected!("raft: append that contradicts itself");
            return;
        }

        // What lies before our base is committed, so it is the leader's too; only what goes beyond it is news.
        let base = self.core.log.base();
        if prev.index < base.index {
            mark!("raft: append begins before the base");
            prev = base;
            entries = entries.filter(|range| base.index < range.last).map(|range| range.starting_at(base.index.next()));
        }

        if !self.core.log.holds(prev) {
            mark!("raft: append conflict");
            let point = self.core.log.meeting_point(prev).expect("prev is not before the base");
            let outcome = AppendOutcome::Conflict(point);
            self.core.send(Rest::Term, from, Message::AppendReply { term, round, outcome });
            return;
        }

        // Exactly what this message shows to be equal; our log may go on with entries that the leader never had.
        let matched = entries.as_ref().map_or(prev.index, |range| range.last);
        if entries.is_some_and(|range| !self.core.append_theirs(range)) {
            unexpected!("raft: append over a committed entry");
            return;
        }
        self.core.commit_to(commit.min(matched));
        let outcome = AppendOutcome::Matched(matched);
        self.core.send(Rest::Log(matched), from, Message::AppendReply { term, round, outcome });
    }

    fn on_heartbeat(&mut self, from: ReplicaId, commit: LogIndex, round: u64) {
        if commit > self.core.log.last_index() {
            // The leader names only what we acknowledged.
            unexpected!("raft: heartbeat commits what is not here");
            return;
        }
        self.core.commit_to(commit);
        let term = self.core.hard_state.term;
        self.core.send(Rest::Term, from, Message::HeartbeatReply { term, round });
    }

    /// A whole snapshot of our leader's has arrived.
    pub(crate) fn on_snapshot(&mut self, from: ReplicaId, meta: SnapshotMeta) {
        if !self.hear(from) {
            return;
        }
        let matched = if meta.index <= self.core.commit {
            mark!("raft: snapshot older than the commit index");
            self.core.commit
        } else if self.core.log.holds(meta) {
            // It tells us only that entries which we have are committed. They may go on beyond it: they stay.
            mark!("raft: snapshot of entries that are here");
            self.core.commit_to(meta.index);
            meta.index
        } else {
            mark!("raft: snapshot installed");
            self.core.install(meta);
            meta.index
        };
        let (term, outcome) = (self.core.hard_state.term, AppendOutcome::Matched(matched));
        self.core.send(Rest::Log(matched), from, Message::AppendReply { term, round: 0, outcome });
    }

    pub(crate) fn invariants(&self) {
        assert!(self.role.leader != Some(self.core.config.me), "follows itself");
        assert!(self.role.silence_ticks < self.role.timeout_ticks, "missed its timeout");
    }
}

/// The entries are runs, and come right after `prev`.
fn is_sound(prev: SnapshotMeta, entries: Option<&LogRange>) -> bool {
    entries.is_none_or(|range| range.is_sound() && range.first == prev.index.next() && range.runs[0].term >= prev.term)
}
