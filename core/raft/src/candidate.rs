//! Standing for election, in two steps: first ask whether one would win, then stand.
//!
//! A replica that cannot hear its leader, but whose messages arrive, would depose it again and again; so it first asks in
//! a term that it does not enter (pre-vote, thesis §9.6), and whoever hears a leader says no. Its own vote counts once it is
//! durable, like any other; so whoever's disk hangs does not even ask, for it could not win.

use std::collections::BTreeSet;

use tenet_types::{ReplicaId, mark};

use crate::follower::Follower;
use crate::node::{Core, Node, Raw};
use crate::tickets::Rest;
use crate::{HardState, Message};

/// Asks whether it would be elected in the term after its own.
#[derive(Clone, Debug)]
pub struct PreCandidate {
    granted: BTreeSet<ReplicaId>,
    elapsed_ticks: u32,
    timeout_ticks: u32,
}

/// Stands in its term, in which it has voted for itself.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Of the others.
    granted: BTreeSet<ReplicaId>,
    elapsed_ticks: u32,
    timeout_ticks: u32,
}

impl Raw<Follower> {
    pub(crate) fn into_pre_candidate(self) -> Node {
        canvass(self.core)
    }
}

impl Raw<PreCandidate> {
    pub(crate) fn on_tick(mut self) -> Node {
        self.role.elapsed_ticks += 1;
        if self.role.elapsed_ticks >= self.role.timeout_ticks {
            return canvass(self.core);
        }
        Node::PreCandidate(self)
    }

    pub(crate) fn on_message(mut self, from: ReplicaId, message: Message) -> Node {
        let term = self.core.hard_state.term;
        match message {
            // Another asks too; we hear no leader either.
            Message::PreVote { term, last } => {
                self.core.answer_pre_vote(from, term, last, false);
                Node::PreCandidate(self)
            }
            // One more would vote for us, if it was asked about the term that we have in mind now.
            Message::PreVoteReply { term: asked, granted } => {
                if granted && asked == term.next() {
                    self.role.granted.insert(from);
                }
                self.maybe_stand()
            }
            // Another stands in our term. If it gets our vote, we wait for it to win.
            Message::Vote { term: _, last } => {
                if self.core.answer_vote(from, last) {
                    return Node::Follower(self.into_follower(term, None));
                }
                Node::PreCandidate(self)
            }
            // There is a leader after all.
            Message::Append { .. } | Message::Heartbeat { .. } => {
                mark!("raft: pre-candidate yields to a leader");
                self.into_follower(term, Some(from)).on_message(from, message)
            }
            // Answers to what we asked when we stood or led; that is over.
            Message::VoteReply { .. } | Message::AppendReply { .. } | Message::HeartbeatReply { .. } => {
                Node::PreCandidate(self)
            }
        }
    }

    fn maybe_stand(self) -> Node {
        if self.role.granted.len() < self.core.quorum() {
            return Node::PreCandidate(self);
        }
        Node::Candidate(self.into_candidate())
    }

    /// Enters the next term. The requests rest on our own vote, so no answer comes before it is durable.
    fn into_candidate(mut self) -> Raw<Candidate> {
        let term = self.core.hard_state.term.next();
        self.core.hard_state = HardState { term, vote: Some(self.core.config.me) };
        let last = self.core.log.last();
        for peer in self.core.peers() {
            self.core.send(Rest::Term, peer, Message::Vote { term, last });
        }
        let role = Candidate { granted: BTreeSet::new(), elapsed_ticks: 0, timeout_ticks: self.core.draw_timeout() };
        self.into_role(role)
    }

    pub(crate) fn invariants(&self) {
        assert!(self.role.granted.contains(&self.core.config.me), "would not vote for itself");
        assert!(self.role.granted.len() < self.core.quorum(), "has a quorum and does not stand");
        assert!(self.role.elapsed_ticks < self.role.timeout_ticks, "missed its timeout");
    }
}

impl Raw<Candidate> {
    pub(crate) fn on_tick(mut self) -> Node {
        self.role.elapsed_ticks += 1;
        if self.role.elapsed_ticks >= self.role.timeout_ticks {
            mark!("raft: election without a winner");
            return canvass(self.core);
        }
        Node::Candidate(self)
    }

    pub(crate) fn on_message(mut self, from: ReplicaId, message: Message) -> Node {
        match message {
            // Another asks about a term; we hear no leader.
            Message::PreVote { term, last } => {
                self.core.answer_pre_vote(from, term, last, false);
                Node::Candidate(self)
            }
            // Another stands in our term; our vote is our own.
            Message::Vote { term: _, last } => {
                self.core.answer_vote(from, last);
                Node::Candidate(self)
            }
            // One more vote, or not.
            Message::VoteReply { term: _, granted } => {
                if granted {
                    self.role.granted.insert(from);
                }
                self.maybe_lead()
            }
            // Another has won.
            Message::Append { .. } | Message::Heartbeat { .. } => {
                mark!("raft: candidate yields to a leader");
                let term = self.core.hard_state.term;
                self.into_follower(term, Some(from)).on_message(from, message)
            }
            // Late answers: the question is settled, or it was asked when we led.
            Message::PreVoteReply { .. } | Message::AppendReply { .. } | Message::HeartbeatReply { .. } => {
                Node::Candidate(self)
            }
        }
    }

    /// Leads if a quorum of *durable* votes is there.
    pub(crate) fn maybe_lead(self) -> Node {
        let own = usize::from(self.core.tickets.is_hard_state_durable());
        if self.role.granted.len() + own < self.core.quorum() {
            return Node::Candidate(self);
        }
        Node::Leader(self.into_leader())
    }

    pub(crate) fn invariants(&self) {
        assert!(self.core.hard_state.vote == Some(self.core.config.me), "does not vote for itself");
        assert!(!self.role.granted.contains(&self.core.config.me), "counts its own vote twice");
        assert!(self.role.elapsed_ticks < self.role.timeout_ticks, "missed its timeout");
    }
}

/// Asks all others whether they would vote for us; begins anew if we were asking or standing already. With a disk that hangs we
/// wait for one more timeout instead, as a follower of nobody.
fn canvass(mut core: Core) -> Node {
    if core.is_stalled() {
        mark!("raft: does not stand, its disk is stalled");
        let role = Follower::new(&core, None);
        return Node::Follower(Raw { core, role });
    }
    let term = core.hard_state.term.next();
    let last = core.log.last();
    for peer in core.peers() {
        core.send(Rest::Nothing, peer, Message::PreVote { term, last });
    }
    let granted = BTreeSet::from([core.config.me]);
    let role = PreCandidate { granted, elapsed_ticks: 0, timeout_ticks: core.draw_timeout() };
    Raw { core, role }.maybe_stand()
}
