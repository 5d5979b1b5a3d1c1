//! The replica: what all roles share, and the way in.
//!
//! ```text
//!                 timeout               pre-vote quorum              quorum, own vote durable
//!   ┌──────────┐ ────────▶ ┌──────────────┐ ───────▶ ┌───────────┐ ───────────▶ ┌────────┐
//!   │ Follower │           │ PreCandidate │          │ Candidate │              │ Leader │
//!   └──────────┘           └──────────────┘ ◀─────── └───────────┘              └────────┘
//!        ▲                        │          timeout       │                         │
//!        └────────────────────────┴────────────────────────┴─────────────────────────┘
//!              higher term seen; a leader of this term heard; (leader) quorum not heard, own disk not heard
//! ```
//! One step takes one input. Roles write what they want done into the `Outbox`; `Core::finish` turns it into `Effects`: it
//! opens the ticket, decides for each message whether it may leave now, and names what may be applied.
//!
//! Which messages wait (R2): a message that rests on nothing but durable state goes into `send_now`; any other waits for the
//! newest ticket among those that it rests on (`tickets::Rest`), and for no later one.

use tenet_types::{LogIndex, ReplicaId, Term, mark, unexpected};

use crate::candidate::{Candidate, PreCandidate};
use crate::follower::Follower;
use crate::leader::{Leader, Proposed};
use crate::log::Log;
use crate::tickets::{Rest, Tickets};
use crate::{
    Config, Effects, Envelope, HardState, Input, LogRange, Message, Persist, ProposalId, ReadId, Reply, Restored,
    SnapshotMeta, Status, Ticket,
};

/// One replica of one shard.
#[derive(Clone, Debug)]
pub enum Node {
    Follower(Raw<Follower>),
    PreCandidate(Raw<PreCandidate>),
    Candidate(Raw<Candidate>),
    Leader(Raw<Leader>),
}

/// A replica in one role. What only that role knows is in the role, and is gone with it.
#[derive(Clone, Debug)]
pub struct Raw<R> {
    pub(crate) core: Core,
    pub(crate) role: R,
}

/// What a replica knows in every role.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub config: Config,
    pub hard_state: HardState,
    pub log: Log,
    pub tickets: Tickets,
    /// Everything up to here is committed, as far as is known here.
    pub commit: LogIndex,
    /// Named in an `apply` effect, or covered by an installed snapshot, up to here.
    pub named: LogIndex,
    /// Applied up to here, as the host has said.
    pub applied: LogIndex,
    /// This step's random number.
    pub luck: u64,
    pub out: Outbox,
}

/// What the running step wants done. Empty between steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    messages: Vec<(Rest, Envelope)>,
    append: Option<LogRange>,
    snapshot: Option<SnapshotMeta>,
    reply: Vec<Reply>,
    send_snapshot: Vec<ReplicaId>,
    /// Proposals of the term that this step stopped leading in.
    orphans: Option<(Term, Proposed)>,
}

impl Node {
    /// A replica as it was when it stopped, or (from `Restored::default()`) a new one.
    ///
    /// The host repairs before it restores: `applied` is at most the last entry, and if a snapshot reached the store but the
    /// log was not yet reset, the host resets it first.
    pub fn restore(config: Config, restored: Restored, luck: u64) -> Node {
        assert!(config.voters.is_sorted_by(|a, b| a < b), "voters are not sorted: {:?}", config.voters);
        assert!(config.voters.contains(&config.me), "{} is not among {:?}", config.me, config.voters);
        assert!(0 < config.heartbeat_ticks && config.heartbeat_ticks < config.election_ticks, "{config:?}");
        assert!(config.append_entries_max > 0 && config.appends_in_flight_max > 0, "{config:?}");
        assert!(config.snapshot_retry_ticks > 0, "{config:?}");
        let log = Log::new(restored.log);
        let last = log.last();
        let applied = restored.applied;
        assert!(log.base().index <= applied && applied <= last.index, "applied {applied}, log {log:?}");
        // A snapshot's term may be ahead of the hard state if the machine stopped while it was installed. No vote was
        // given in a term that was never durable.
        let mut hard_state = restored.hard_state;
        if hard_state.term < last.term {
            mark!("raft: restored with a log ahead of the term");
            hard_state = HardState { term: last.term, vote: None };
        }
        let core = Core {
            config,
            hard_state,
            log,
            tickets: Tickets::new(restored.hard_state, last.index),
            commit: applied,
            named: applied,
            applied,
            luck,
            out: Outbox::default(),
        };
        let role = Follower::new(&core, None);
        Node::Follower(Raw { core, role })
    }

    /// Takes one input. Cannot fail and cannot block: everything it wants done is in `Effects`. `luck` is a fresh random
    /// number; only election timeouts are drawn from it.
    pub fn step(mut self, input: Input, luck: u64) -> (Node, Effects) {
        self.core_mut().luck = luck;
        let mut node = match input {
            Input::Tick => self.on_tick(),
            Input::Receive { from, message } => self.on_receive(from, message),
            Input::Propose { term, proposals } => self.on_propose(term, proposals),
            Input::Read { read } => self.on_read(read),
            Input::Persisted(ticket) => self.on_persisted(ticket),
            Input::Applied(index) => self.on_applied(index),
            Input::SnapshotReceived { from, term, meta } => self.on_snapshot(from, term, meta),
            Input::Compacted(meta) => self.on_compacted(meta),
        };
        let effects = node.core_mut().finish();
        (node, effects)
    }

    /// A look at it. Allocates for leaders only.
    pub fn status(&self) -> Status {
        let core = self.core();
        let (leader, noop, matched) = match self {
            Node::Follower(raw) => (raw.role.leader, None, Vec::new()),
            Node::PreCandidate(_) | Node::Candidate(_) => (None, None, Vec::new()),
            Node::Leader(raw) => (Some(core.config.me), Some(raw.role.noop), raw.matched()),
        };
        Status {
            term: core.hard_state.term,
            leader,
            leading: noop.is_some(),
            serving: noop.is_some_and(|noop| noop <= core.applied),
            commit: core.commit,
            applied: core.applied,
            base: core.log.base().index,
            durable: core.tickets.durable(),
            last: core.log.last(),
            matched,
        }
    }

    /// The term of an entry; `None` if it is not (or no longer) in the log. The base's is known.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        self.core().log.term_at(index)
    }

    /// Costly whole-state checks, for tests and simulators to call after each step.
    pub fn invariants(&self) {
        self.core().invariants();
        match self {
            Node::Follower(raw) => raw.invariants(),
            Node::PreCandidate(raw) => raw.invariants(),
            Node::Candidate(raw) => raw.invariants(),
            Node::Leader(raw) => raw.invariants(),
        }
    }

    fn on_tick(mut self) -> Node {
        self.core_mut().tickets.on_tick();
        match self {
            Node::Follower(raw) => raw.on_tick(),
            Node::PreCandidate(raw) => raw.on_tick(),
            Node::Candidate(raw) => raw.on_tick(),
            Node::Leader(raw) => raw.on_tick(),
        }
    }

    fn on_receive(mut self, from: ReplicaId, message: Message) -> Node {
        if !self.core().is_peer(from) {
            unexpected!("raft: message from a stranger");
            return self;
        }
        let leads = match message {
            // Questions about a term that nobody has entered, and a yes to one, move nobody's term.
            Message::PreVote { .. } | Message::PreVoteReply { granted: true, .. } => {
                return self.on_message(from, message);
            }
            Message::Append { .. } | Message::Heartbeat { .. } => true,
            Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::AppendReply { .. }
            | Message::HeartbeatReply { .. } => false,
        };
        let (said, ours) = (message.term(), self.core().hard_state.term);
        if said < ours {
            self.core_mut().answer_stale(from, &message);
            return self;
        }
        if said > ours {
            self = Node::Follower(self.into_follower(said, leads.then_some(from)));
        }
        self.on_message(from, message)
    }

    fn on_message(self, from: ReplicaId, message: Message) -> Node {
        match self {
            Node::Follower(raw) => raw.on_message(from, message),
            Node::PreCandidate(raw) => raw.on_message(from, message),
            Node::Candidate(raw) => raw.on_message(from, message),
            Node::Leader(raw) => raw.on_message(from, message),
        }
    }

    fn on_propose(mut self, term: Term, proposals: Vec<ProposalId>) -> Node {
        match &mut self {
            Node::Leader(raw) if raw.core.hard_state.term == term => raw.propose(proposals),
            Node::Leader(_) | Node::Follower(_) | Node::PreCandidate(_) | Node::Candidate(_) => {
                let leader = self.leader();
                let refused = proposals.into_iter().map(|proposal| Reply::Refused { proposal, leader });
                self.core_mut().out.reply.extend(refused);
            }
        }
        self
    }

    fn on_read(mut self, read: ReadId) -> Node {
        match &mut self {
            Node::Leader(raw) => raw.read(read),
            Node::Follower(_) | Node::PreCandidate(_) | Node::Candidate(_) => {
                let leader = self.leader();
                self.core_mut().reply(Reply::NotLeader { read, leader });
            }
        }
        self
    }

    fn on_persisted(mut self, ticket: Ticket) -> Node {
        let core = self.core_mut();
        if let Some(snapshot) = core.tickets.close(ticket) {
            core.named = core.named.max(snapshot.index);
            core.applied = core.applied.max(snapshot.index);
        }
        match self {
            Node::Follower(_) | Node::PreCandidate(_) => self,
            Node::Candidate(raw) => raw.maybe_lead(),
            Node::Leader(mut raw) => {
                raw.maybe_commit();
                Node::Leader(raw)
            }
        }
    }

    fn on_applied(mut self, index: LogIndex) -> Node {
        let core = self.core_mut();
        assert!(index <= core.named, "applied {index}, asked for {}", core.named);
        // A snapshot may have overtaken what was being applied.
        core.applied = core.applied.max(index);
        if let Node::Leader(raw) = &mut self {
            raw.answer_reads();
        }
        self
    }

    fn on_snapshot(self, from: ReplicaId, term: Term, meta: SnapshotMeta) -> Node {
        if !self.core().is_peer(from) {
            unexpected!("raft: snapshot from a stranger");
            return self;
        }
        let ours = self.core().hard_state.term;
        if term < ours {
            // Its sender leads no more; the next leader will see for itself what is needed here.
            mark!("raft: stale snapshot ignored");
            return self;
        }
        let mut follower = match self {
            Node::Leader(raw) if raw.core.hard_state.term == term => {
                unexpected!("raft: two leaders in one term");
                return Node::Leader(raw);
            }
            node @ (Node::Follower(_) | Node::PreCandidate(_) | Node::Candidate(_) | Node::Leader(_)) => {
                node.into_follower(term, Some(from))
            }
        };
        follower.on_snapshot(from, meta);
        Node::Follower(follower)
    }

    fn on_compacted(mut self, meta: SnapshotMeta) -> Node {
        let core = self.core_mut();
        // A snapshot may have overtaken the compaction.
        if meta.index > core.log.base().index {
            assert!(meta.index <= core.applied, "compacted to {meta:?}, applied {}", core.applied);
            core.log.compact(meta);
        }
        self
    }

    /// A follower in `term`, which is at least its own. Whoever heard of the same leader in the same term stays as it is.
    fn into_follower(self, term: Term, leader: Option<ReplicaId>) -> Raw<Follower> {
        match self {
            Node::Follower(raw) if raw.core.hard_state.term == term => raw,
            Node::Follower(raw) => raw.into_follower(term, leader),
            Node::PreCandidate(raw) => raw.into_follower(term, leader),
            Node::Candidate(raw) => raw.into_follower(term, leader),
            Node::Leader(raw) => raw.step_down(term, leader),
        }
    }

    fn leader(&self) -> Option<ReplicaId> {
        match self {
            Node::Follower(raw) => raw.role.leader,
            Node::PreCandidate(_) | Node::Candidate(_) => None,
            Node::Leader(raw) => Some(raw.core.config.me),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        match self {
            Node::Follower(raw) => &raw.core,
            Node::PreCandidate(raw) => &raw.core,
            Node::Candidate(raw) => &raw.core,
            Node::Leader(raw) => &raw.core,
        }
    }

    fn core_mut(&mut self) -> &mut Core {
        match self {
            Node::Follower(raw) => &mut raw.core,
            Node::PreCandidate(raw) => &mut raw.core,
            Node::Candidate(raw) => &mut raw.core,
            Node::Leader(raw) => &mut raw.core,
        }
    }
}

impl<R> Raw<R> {
    pub(crate) fn into_role<S>(self, role: S) -> Raw<S> {
        Raw { core: self.core, role }
    }

    /// A follower in `term`, which is at least its own. A leader goes through `step_down`, which settles its debts first.
    pub(crate) fn into_follower(mut self, term: Term, leader: Option<ReplicaId>) -> Raw<Follower> {
        let ours = self.core.hard_state.term;
        assert!(term >= ours, "from {ours} back to {term}");
        if term > ours {
            self.core.hard_state = HardState { term, vote: None };
        }
        let role = Follower::new(&self.core, leader);
        self.into_role(role)
    }
}

impl Core {
    pub fn is_peer(&self, replica: ReplicaId) -> bool {
        replica != self.config.me && self.config.voters.binary_search(&replica).is_ok()
    }

    pub fn peers(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let me = self.config.me;
        self.config.voters.clone().into_iter().filter(move |replica| *replica != me)
    }

    /// More than half of the voters.
    pub fn quorum(&self) -> usize {
        self.config.voters.len() / 2 + 1
    }

    /// A random time, so that replicas seldom stand for election at once. Whoever is alone has nobody to wait for.
    pub fn draw_timeout(&self) -> u32 {
        if self.config.voters.len() == 1 {
            return 1;
        }
        self.config.election_ticks + (self.luck % u64::from(self.config.election_ticks)) as u32
    }

    /// The disk hangs: it has owed an answer for longer than any follower waits for a silent leader. Whoever is alone has nobody
    /// to make room for.
    pub fn is_stalled(&self) -> bool {
        self.config.voters.len() > 1 && self.tickets.unanswered_ticks() >= 2 * self.config.election_ticks
    }

    pub fn send(&mut self, rest: Rest, to: ReplicaId, message: Message) {
        self.out.messages.push((rest, Envelope { to, message }));
    }

    pub fn reply(&mut self, reply: Reply) {
        self.out.reply.push(reply);
    }

    pub fn offer_snapshot(&mut self, to: ReplicaId) {
        self.out.send_snapshot.push(to);
    }

    /// This step stops leading: the proposals whose entries are not known to be committed.
    pub fn orphan(&mut self, proposed: Proposed) {
        self.out.orphans = Some((self.hard_state.term, proposed));
    }

    /// Appends entries of our own term, as leader.
    pub fn append_own(&mut self, count: u64) -> LogRange {
        let range = self.log.extend(self.hard_state.term, count);
        assert!(self.out.append.is_none(), "two appends in one step");
        self.out.append = Some(range.clone());
        range
    }

    /// Makes the leader's `range`, which begins after an entry that we share, ours. Returns false, having done nothing, if that
    /// would drop a committed entry.
    pub fn append_theirs(&mut self, range: LogRange) -> bool {
        let Some(first) = self.log.first_new(&range) else { return true };
        if first <= self.commit {
            return false;
        }
        if first <= self.log.last_index() {
            mark!("raft: suffix truncated");
            self.tickets.cut(first.prev());
        }
        let range = range.starting_at(first);
        self.log.splice(&range);
        assert!(self.out.append.is_none(), "two appends in one step");
        self.out.append = Some(range);
        true
    }

    /// Puts a snapshot in the place of the log.
    pub fn install(&mut self, meta: SnapshotMeta) {
        assert!(meta.index > self.commit, "snapshot {meta:?}, commit {}", self.commit);
        // What the disk has of the old log is what the snapshot covers only as far as it is committed.
        self.tickets.cut(self.commit);
        self.log.reset(meta);
        self.commit = meta.index;
        self.out.snapshot = Some(meta);
    }

    /// Learns that everything up to `index` is committed.
    pub fn commit_to(&mut self, index: LogIndex) {
        assert!(index <= self.log.last_index(), "R5: commit {index} past last {}", self.log.last_index());
        self.commit = self.commit.max(index);
    }

    /// Answers a message of a term that is over. Its sender must learn that, or a leader that hears nothing newer would go on.
    ///
    /// The answer acknowledges nothing, and so names round 0, which nobody waits for, whatever was asked. (1. r1 leads in
    /// term 1 and sends round 5 to r2. 2. r2 is a candidate in term 2 and answers in it. 3. r1 steps down, stands in term 2
    /// too, and wins. 4. The answer arrives: it must not confirm a round of term 2.)
    fn answer_stale(&mut self, from: ReplicaId, message: &Message) {
        let term = self.hard_state.term;
        match message {
            Message::Append { .. } | Message::Heartbeat { .. } => {
                mark!("raft: stale leader told of the newer term");
                self.send(Rest::Term, from, Message::HeartbeatReply { term, round: 0 });
            }
            Message::Vote { .. } => {
                mark!("raft: vote refused, older term");
                self.send(Rest::Term, from, Message::VoteReply { term, granted: false });
            }
            // Answers that come late.
            Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::AppendReply { .. }
            | Message::HeartbeatReply { .. } => {}
            Message::PreVote { .. } => unreachable!("it is answered in any term"),
        }
    }

    /// Would we vote for `from` in `term`? `loyal`: a leader is heard, and one who does not hear it must not depose it (thesis
    /// §9.6, §4.2.3).
    pub fn answer_pre_vote(&mut self, from: ReplicaId, term: Term, last: SnapshotMeta, loyal: bool) {
        let ours = self.hard_state.term;
        let granted = if loyal {
            mark!("raft: pre-vote refused, a leader is heard");
            false
        } else if term <= ours {
            mark!("raft: pre-vote refused, older term");
            false
        } else if !self.log.yields_to(last) {
            mark!("raft: pre-vote refused, log behind");
            false
        } else {
            true
        };
        let term = if granted { term } else { ours };
        let rest = if granted { Rest::Nothing } else { Rest::Term };
        self.send(rest, from, Message::PreVoteReply { term, granted });
    }

    /// Votes for `from` in our term, or not (Raft §5.2, §5.4.1).
    pub fn answer_vote(&mut self, from: ReplicaId, last: SnapshotMeta) -> bool {
        let granted = if self.hard_state.vote.is_some_and(|vote| vote != from) {
            mark!("raft: vote refused, given to another");
            false
        } else if !self.log.yields_to(last) {
            mark!("raft: vote refused, log behind");
            false
        } else {
            self.hard_state.vote = Some(from);
            true
        };
        self.send(Rest::Term, from, Message::VoteReply { term: self.hard_state.term, granted });
        granted
    }

    /// Turns the outbox into effects.
    fn finish(&mut self) -> Effects {
        let out = std::mem::take(&mut self.out);
        let mut effects = Effects { reply: out.reply, send_snapshot: out.send_snapshot, ..Effects::default() };

        let hard_state = (self.hard_state != self.tickets.handed()).then_some(self.hard_state);
        if hard_state.is_some() || out.append.is_some() || out.snapshot.is_some() {
            let ticket = self.tickets.open(hard_state, self.log.last_index(), out.snapshot);
            effects.persist = Some((ticket, Persist { hard_state, snapshot: out.snapshot, append: out.append }));
        }

        for (rest, envelope) in out.messages {
            match self.tickets.awaited(rest) {
                None => effects.send_now.push(envelope),
                Some(ticket) => effects.send_after.push((ticket, envelope)),
            }
        }

        if let Some((term, proposed)) = out.orphans {
            effects.reply.extend(proposed.into_iter().map(|(index, proposal)| self.last_word(term, index, proposal)));
        }

        // While a snapshot is on its way to the disk, the entries before it are not ours to name any more.
        let until = self.commit.min(self.tickets.durable());
        if self.log.base().index <= self.named && self.named < until {
            effects.apply = Some((self.named.next(), until));
            self.named = until;
        }
        assert!(self.applied <= self.named && self.named <= self.commit && self.commit <= self.log.last_index(), "R5");
        effects
    }

    /// The answer to a proposal whose leader steps down in this step. It is settled only if the very message that ended its
    /// leadership also told what was committed at its index.
    fn last_word(&self, term: Term, index: LogIndex, proposal: ProposalId) -> Reply {
        if self.commit < index {
            mark!("raft: proposal unknown");
            return Reply::Unknown { proposal };
        }
        match self.log.term_at(index) {
            Some(committed) if committed == term => {
                mark!("raft: proposal committed by the next leader");
                Reply::Committed { proposal, index }
            }
            Some(_) => {
                mark!("raft: proposal dropped");
                Reply::Dropped { proposal }
            }
            None => {
                mark!("raft: proposal unknown, covered by a snapshot");
                Reply::Unknown { proposal }
            }
        }
    }

    fn invariants(&self) {
        self.log.invariants();
        self.tickets.invariants(self.log.last_index());
        let (commit, last, durable) = (self.commit, self.log.last_index(), self.tickets.durable());
        assert!(commit <= last, "R5: commit {commit} past last {last}");
        assert!(self.log.base().index <= commit, "base {:?} past commit {commit}", self.log.base());
        assert!(self.applied <= self.named, "applied {}, asked for {}", self.applied, self.named);
        assert!(self.named <= commit.min(durable), "R5: {} applied of commit {commit}, durable {durable}", self.named);
        assert!(self.log.last().term <= self.hard_state.term, "an entry of a later term");
        assert!(self.hard_state.vote.is_none_or(|vote| self.config.voters.contains(&vote)), "a vote for a stranger");
        let out = &self.out;
        assert!(out.messages.is_empty() && out.append.is_none() && out.reply.is_empty(), "the outbox was not emptied");
    }
}

#[cfg(test)]
mod tests;
