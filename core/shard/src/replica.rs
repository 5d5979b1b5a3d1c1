//! One replica as its host sees it: a passive struct that turns inputs into work to be done.
//!
//! It owns the raft machine and everything that is told only in terms of it: proposals and reads that wait for an answer,
//! messages that wait for a ticket, payloads of recent entries, and, while it leads, the validation window. It does no I/O:
//! [`Work`] says what the host must do.
//!
//! Invariants
//!  P1  Every commit and read is answered exactly once; a replica that is dropped answers what is left (unknown, not leader).
//!  P2  A payload is kept from its append until the cache is full. Applied ones go first, the oldest of them first; then, at a
//!      follower whose store is slower than its log, the newest that are durable, which are applied last and read back for that.
//!      What can be sent or applied soon needs no disk. A leader's are bounded by what it admits.
//!  P3  A message that waits for a ticket leaves after that ticket's sync, or never.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use tenet_raft::{
    Config, Effects, Envelope, Input, LogRange, Message, Node, Persist, ProposalId, ReadId, Reply, Restored,
    SnapshotMeta, Status, Ticket,
};
use tenet_seam::Moment;
use tenet_store::Meta;
use tenet_types::{CatalogVersion, Entry, Key, LogIndex, NodeId, ReplicaId, ShardId, Term, Timestamp, mark};
use tenet_wal::{Change, Frame};
use tokio::sync::oneshot;

use crate::client::{CommitRequest, Response, ShardError, Target};
use crate::clock::ProposalClock;
use crate::storage::{AppliedEntries, Found};
use crate::validate::{Window, WindowBound};
use crate::view::{Descriptor, Limits};
use crate::wire::{FRAME_BYTES_MAX, PeerMessage, RaftMail};

/// A read may begin: at this snapshot, with this catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadGrant {
    pub at: Timestamp,
    pub catalog: CatalogVersion,
}

/// The grant, or the answer to whoever asked.
pub type ReadAnswer = oneshot::Sender<Result<ReadGrant, Response>>;
pub type CommitAnswer = oneshot::Sender<Response>;

/// What the host must do after a step.
#[derive(Default)]
pub struct Work {
    /// To be made durable; answered by [`Replica::persisted`] with the ticket.
    pub persist: Option<(Ticket, Change)>,
    /// A received snapshot must be installed together with `persist`.
    pub install: bool,
    pub send: Vec<(NodeId, PeerMessage)>,
    /// Appends whose payloads are no longer cached: read them, then [`Replica::loaded`].
    pub load: Vec<Load>,
    pub send_snapshot: Vec<(NodeId, ReplicaId)>,
    /// The replica leads from now on, in this term.
    pub elected: Option<Term>,
}

/// What an entry costs a checkpoint besides its payload, about.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A commit whose outcome is awaited.
struct Waiting {
    index: LogIndex,
    bytes: usize,
    answer: CommitAnswer,
}

/// What a leader says its state is after an entry.
#[derive(Clone, Copy, Debug)]
pub struct StateClaim {
    pub from: NodeId,
    pub index: LogIndex,
    pub hash: [u8; 32],
}

/// An append that waits for payloads from the log.
#[derive(Clone, Debug)]
pub struct Load {
    pub to: ReplicaId,
    pub term: Term,
    pub commit: LogIndex,
    pub round: u64,
    pub prev: SnapshotMeta,
    pub first: LogIndex,
    pub last: LogIndex,
}

pub struct Replica {
    pub descriptor: Descriptor,
    me: ReplicaId,
    limits: Arc<Limits>,
    /// `None` only while it steps.
    raft: Option<Node>,
    status: Status,
    /// As of the last apply that was reported back.
    pub meta: Meta,
    /// Hashes of recently applied entries, for comparison with other replicas.
    hashes: VecDeque<(LogIndex, [u8; 32])>,
    /// The last claim of a leader that was not yet compared: mostly it comes before the entry is applied here.
    claim: Option<StateClaim>,
    next_id: u64,
    commits: BTreeMap<ProposalId, Waiting>,
    /// Of all `commits`, in the log.
    commits_bytes: usize,
    committed_at: BTreeMap<LogIndex, ProposalId>,
    reads: BTreeMap<ReadId, ReadAnswer>,
    /// Commits validated and not yet proposed: proposed together.
    batch: Vec<(ProposalId, Vec<u8>)>,
    after: BTreeMap<Ticket, Vec<Envelope>>,
    cache: BTreeMap<LogIndex, Frame>,
    cache_bytes: usize,
    window: Option<(Term, Window)>,
    clock: ProposalClock,
    /// Committed, durable, and not yet handed to apply.
    to_apply: Option<(LogIndex, LogIndex)>,
    pub applying: bool,
    /// A snapshot was decided on: nothing is applied until it is in place.
    pub installing: bool,
    pub elections: u64,
    pub bytes_since_checkpoint: usize,
    pub ticks_since_checkpoint: u32,
}

impl Replica {
    pub fn new(descriptor: Descriptor, found: Found, limits: Arc<Limits>, luck: u64) -> Replica {
        let me = found.replica;
        let mut voters: Vec<ReplicaId> = descriptor.replicas.iter().map(|(_, replica)| *replica).collect();
        voters.sort();
        let config = Config {
            me,
            voters,
            election_ticks: limits.election_ticks,
            heartbeat_ticks: limits.heartbeat_ticks,
            append_entries_max: limits.append_entries_max,
            appends_in_flight_max: limits.appends_in_flight_max,
            snapshot_retry_ticks: limits.snapshot_retry_ticks,
        };
        let restored = Restored { hard_state: found.hard_state, log: found.log, applied: found.meta.applied };
        let raft = Node::restore(config, restored, luck);
        let status = raft.status();
        Replica {
            descriptor,
            me,
            limits,
            raft: Some(raft),
            status,
            meta: found.meta,
            hashes: VecDeque::new(),
            claim: None,
            next_id: 1,
            commits: BTreeMap::new(),
            commits_bytes: 0,
            committed_at: BTreeMap::new(),
            reads: BTreeMap::new(),
            batch: Vec::new(),
            after: BTreeMap::new(),
            cache: BTreeMap::new(),
            cache_bytes: 0,
            window: None,
            clock: ProposalClock::new(Timestamp::ZERO),
            to_apply: None,
            applying: false,
            installing: false,
            elections: 0,
            bytes_since_checkpoint: 0,
            ticks_since_checkpoint: 0,
        }
    }

    pub fn shard(&self) -> ShardId {
        self.descriptor.shard
    }

    pub fn me(&self) -> ReplicaId {
        self.me
    }

    pub fn status(&self) -> &Status {
        &self.status
    }

    /// The node of the leader, as far as this replica knows.
    pub fn leader_node(&self) -> Option<NodeId> {
        self.status.leader.and_then(|leader| self.node_of(leader))
    }

    fn node_of(&self, replica: ReplicaId) -> Option<NodeId> {
        self.descriptor.replicas.iter().find(|(_, id)| *id == replica).map(|(node, _)| *node)
    }

    fn raft(&self) -> &Node {
        self.raft.as_ref().expect("present between steps")
    }

    /// One input without payloads.
    pub fn step(&mut self, input: Input, luck: u64) -> Work {
        self.step_with(input, Vec::new(), luck)
    }

    /// One message of a peer.
    pub fn receive(&mut self, mail: RaftMail, luck: u64) -> Work {
        self.step_with(Input::Receive { from: mail.from, message: mail.message }, mail.payloads, luck)
    }

    fn step_with(&mut self, input: Input, payloads: Vec<Arc<[u8]>>, luck: u64) -> Work {
        let first_payload = match &input {
            Input::Receive { message: Message::Append { entries: Some(range), .. }, .. } => Some(range.first),
            _ => None,
        };
        let (raft, effects) = self.raft.take().expect("steps do not nest").step(input, luck);
        self.raft = Some(raft);
        let Effects { persist, send_now, send_after, apply, reply, send_snapshot } = effects;

        let mut proposed: BTreeMap<LogIndex, Vec<u8>> = BTreeMap::new();
        for reply in reply {
            self.on_reply(reply, &mut proposed);
        }
        let mut work = Work::default();
        if let Some((ticket, persist)) = persist {
            work.install = persist.snapshot.is_some();
            work.persist = Some((ticket, self.change(persist, first_payload, payloads, proposed)));
        }
        for (ticket, envelope) in send_after {
            self.after.entry(ticket).or_default().push(envelope);
        }
        for envelope in send_now {
            self.dispatch(envelope, &mut work);
        }
        if let Some((first, last)) = apply {
            self.to_apply = Some(match self.to_apply {
                None => (first, last),
                Some((from, to)) => {
                    assert_eq!(to.next(), first, "raft names each entry once, in order");
                    (from, last)
                }
            });
        }
        work.send_snapshot =
            send_snapshot.into_iter().filter_map(|replica| Some((self.node_of(replica)?, replica))).collect();
        work.elected = self.follow_status();
        work
    }

    /// Keeps the window in step with leadership (V3). Returns the term if leadership began just now.
    fn follow_status(&mut self) -> Option<Term> {
        let status = self.raft().status();
        let elected = status.leading && !(self.status.leading && self.status.term == status.term);
        self.elections += u64::from(elected);
        self.status = status;
        match &self.window {
            Some((term, _)) if self.status.serving && *term == self.status.term => {}
            _ if self.status.serving => {
                let Limits { window_sets_max: sets_max, window_bytes_max: bytes_max, .. } = *self.limits;
                let window = Window::new(self.meta.timestamp, WindowBound { sets_max, bytes_max });
                self.window = Some((self.status.term, window));
                self.clock = ProposalClock::new(self.meta.timestamp);
            }
            _ => self.window = None,
        }
        elected.then_some(self.status.term)
    }

    /// What raft wants durable, with the payloads filled in.
    fn change(
        &mut self,
        persist: Persist,
        first_payload: Option<LogIndex>,
        payloads: Vec<Arc<[u8]>>,
        mut proposed: BTreeMap<LogIndex, Vec<u8>>,
    ) -> Change {
        let mut change = Change { hard_state: persist.hard_state.map(|h| (h.term, h.vote)), ..Default::default() };
        if let Some(meta) = persist.snapshot {
            change.reset = Some((meta.index, meta.term));
            change.checkpoint = Some((meta.index, meta.term));
            self.cache.clear();
            self.cache_bytes = 0;
        }
        if let Some(range) = persist.append {
            self.truncate_cache(range.first);
            for index in range.first.0..=range.last.0 {
                let index = LogIndex(index);
                let payload = match first_payload {
                    Some(first) => payloads[(index.0 - first.0) as usize].clone(),
                    None => Arc::from(proposed.remove(&index).unwrap_or_else(|| Entry::Noop.encode())),
                };
                let frame = Frame { index, term: range_term(&range, index), payload };
                self.cache_bytes += frame.payload.len();
                self.cache.insert(index, frame.clone());
                change.entries.push(frame);
            }
        }
        assert!(proposed.is_empty(), "raft appended what it did not persist");
        change
    }

    fn truncate_cache(&mut self, first: LogIndex) {
        for frame in self.cache.split_off(&first).into_values() {
            self.cache_bytes -= frame.payload.len();
        }
    }

    fn on_reply(&mut self, reply: Reply, proposed: &mut BTreeMap<LogIndex, Vec<u8>>) {
        match reply {
            Reply::Appended { proposal, index } => {
                let at = self.batch.iter().position(|(id, _)| *id == proposal).expect("proposed in this step");
                let (_, payload) = self.batch.swap_remove(at);
                let expected = self.commits.get(&proposal).expect("answered later").index;
                assert_eq!(expected, index, "validated for another place in the log");
                proposed.insert(index, payload);
                self.committed_at.insert(index, proposal);
            }
            // The answer waits for the apply, which settles the timestamp.
            Reply::Committed { .. } => {}
            Reply::Refused { proposal, leader } => {
                self.batch.retain(|(id, _)| *id != proposal);
                let leader = leader.and_then(|leader| self.node_of(leader));
                self.answer(proposal, Response::NotLeader { leader });
            }
            Reply::Dropped { proposal } => {
                mark!("shard: proposal dropped");
                self.answer(proposal, Response::NotLeader { leader: None });
            }
            Reply::Unknown { proposal } => {
                mark!("shard: outcome of a proposal unknown");
                self.answer(proposal, Response::Error(ShardError::Unknown));
            }
            Reply::Readable { read, index } => {
                assert!(self.meta.applied >= index, "readable at {index}, applied {}", self.meta.applied);
                let grant = ReadGrant { at: self.meta.timestamp, catalog: self.meta.catalog };
                self.answer_read(read, Ok(grant));
            }
            Reply::NotLeader { read, leader } => {
                let leader = leader.and_then(|leader| self.node_of(leader));
                self.answer_read(read, Err(Response::NotLeader { leader }));
            }
        }
    }

    fn answer(&mut self, proposal: ProposalId, response: Response) {
        let Some(Waiting { index, bytes, answer }) = self.commits.remove(&proposal) else { return };
        self.commits_bytes -= bytes;
        if self.committed_at.get(&index) == Some(&proposal) {
            self.committed_at.remove(&index);
        }
        if answer.send(response).is_err() {
            mark!("shard: commit answered to a gateway that left");
        }
    }

    fn answer_read(&mut self, read: ReadId, result: Result<ReadGrant, Response>) {
        if let Some(answer) = self.reads.remove(&read)
            && answer.send(result).is_err()
        {
            mark!("shard: read answered to a gateway that left");
        }
    }

    /// Fills in payloads and cuts an append to what fits a frame.
    fn dispatch(&mut self, envelope: Envelope, work: &mut Work) {
        let Envelope { to, message } = envelope;
        let Some(node) = self.node_of(to) else { return };
        let Message::Append { term, prev, entries: Some(range), commit, round } = message else {
            work.send.push((node, self.mail(to, message, Vec::new())));
            return;
        };
        let load = Load { to, term, commit, round, prev, first: range.first, last: range.last };
        let cached: Vec<Frame> = self.cache.range(range.first..=range.last).map(|(_, frame)| frame.clone()).collect();
        if cached.len() as u64 == range.last.0 - range.first.0 + 1 {
            self.send_frames(&load, cached, work);
        } else {
            mark!("shard: append read back from the log");
            work.load.push(load);
        }
    }

    /// The payloads of an append have been read: sends it, unless the log has changed since.
    pub fn loaded(&mut self, mut load: Load, frames: Vec<Frame>) -> Work {
        let mut work = Work::default();
        let same = |frame: &Frame| self.raft().term_at(frame.index) == Some(frame.term);
        if self.status.leading && self.status.term == load.term && frames.iter().all(same) && !frames.is_empty() {
            load.last = frames.last().expect("not empty").index;
            self.send_frames(&load, frames, &mut work);
        }
        work
    }

    fn send_frames(&self, load: &Load, frames: Vec<Frame>, work: &mut Work) {
        let Some(node) = self.node_of(load.to) else { return };
        let mut prev = load.prev;
        let mut rest = &frames[..];
        while let Some(head) = rest.first() {
            let mut bytes = 0;
            let fits = rest
                .iter()
                .take_while(|frame| {
                    bytes += frame.payload.len() + 16;
                    bytes <= FRAME_BYTES_MAX - 1024
                })
                .count()
                .max(1);
            let (piece, after) = rest.split_at(fits);
            let tail = piece.last().expect("at least one");
            let mut runs: Vec<tenet_raft::Run> = Vec::new();
            for frame in piece {
                if runs.last().is_none_or(|run| run.term != frame.term) {
                    runs.push(tenet_raft::Run { first: frame.index, term: frame.term });
                }
            }
            let entries = Some(LogRange { first: head.index, last: tail.index, runs });
            let message = Message::Append { term: load.term, prev, entries, commit: load.commit, round: load.round };
            let payloads = piece.iter().map(|frame| frame.payload.clone()).collect();
            work.send.push((node, self.mail(load.to, message, payloads)));
            prev = SnapshotMeta { index: tail.index, term: tail.term };
            rest = after;
        }
    }

    fn mail(&self, to: ReplicaId, message: Message, payloads: Vec<Arc<[u8]>>) -> PeerMessage {
        PeerMessage::Raft(RaftMail { shard: self.shard(), from: self.me, to, message, payloads })
    }

    /// A batch with this ticket is durable: what waited for it leaves, and raft learns of it.
    pub fn persisted(&mut self, ticket: Ticket, luck: u64) -> Work {
        let mut released = Work::default();
        while let Some(entry) = self.after.first_entry().filter(|entry| *entry.key() <= ticket) {
            for envelope in entry.remove() {
                self.dispatch(envelope, &mut released);
            }
        }
        let mut work = self.step(Input::Persisted(ticket), luck);
        self.trim_cache();
        released.send.append(&mut work.send);
        released.load.append(&mut work.load);
        Work { send: released.send, load: released.load, ..work }
    }

    /// A linearizable read wants to begin.
    pub fn read(&mut self, target: &Target, answer: ReadAnswer, luck: u64) -> Work {
        if let Err(response) = self.descriptor.check(target) {
            if answer.send(Err(response)).is_err() {
                mark!("shard: read refused to a gateway that left");
            }
            return Work::default();
        }
        let read = ReadId(self.next_id);
        self.next_id += 1;
        self.reads.insert(read, answer);
        self.step(Input::Read { read }, luck)
    }

    /// Judges a commit; if it may, it joins the batch that [`Replica::propose`] proposes.
    pub fn admit(
        &mut self,
        target: &Target,
        commit: CommitRequest,
        (now, wall_ms): (Moment, u64),
        answer: CommitAnswer,
    ) {
        if let Err(response) = self.judge(target, &commit) {
            if answer.send(response).is_err() {
                mark!("shard: commit refused to a gateway that left");
            }
            return;
        }
        let CommitRequest { request, catalog, writes, .. } = commit;
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        let wall_ms = self.clock.ms(now, wall_ms);
        let payload = Entry::Commit { request, catalog, wall_ms, writes }.encode();
        if payload.len() > tenet_types::TXN_BYTES_MAX {
            if answer.send(Response::Error(ShardError::TooLarge)).is_err() {
                mark!("shard: commit refused to a gateway that left");
            }
            return;
        }
        let index = LogIndex(self.status.last.index.0 + self.batch.len() as u64 + 1);
        let (_, window) = self.window.as_mut().expect("judged by it");
        window.proposed(index, keys);
        let proposal = ProposalId(self.next_id);
        self.next_id += 1;
        self.commits_bytes += payload.len();
        self.commits.insert(proposal, Waiting { index, bytes: payload.len(), answer });
        self.batch.push((proposal, payload));
    }

    fn judge(&self, target: &Target, commit: &CommitRequest) -> Result<(), Response> {
        self.descriptor.check(target)?;
        let Some((_, window)) = self.window.as_ref().filter(|_| self.status.serving) else {
            return Err(Response::NotLeader { leader: self.leader_node().filter(|_| !self.status.leading) });
        };
        if commit.catalog != self.meta.catalog {
            return Err(Response::Error(ShardError::CatalogChanged));
        }
        if self.commits.len() >= self.limits.proposals_max || self.commits_bytes >= self.limits.proposals_bytes_max {
            mark!("shard: too many proposals in flight");
            return Err(Response::Error(ShardError::Busy));
        }
        if !window.admits(commit.snapshot, &commit.reads) {
            return Err(Response::Error(ShardError::Conflict));
        }
        Ok(())
    }

    /// Commits that wait for their outcome.
    pub fn waiting(&self) -> usize {
        self.commits.len()
    }

    pub fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Proposes the batch. Must be called before any other input once something was admitted, so that the indexes hold.
    pub fn propose(&mut self, luck: u64) -> Work {
        let proposals = self.batch.iter().map(|(id, _)| *id).collect();
        let work = self.step(Input::Propose { term: self.status.term, proposals }, luck);
        assert!(self.batch.is_empty(), "every proposal is appended or refused at once");
        work
    }

    /// The next stretch to apply, with payloads if they are cached.
    pub fn next_apply(&mut self) -> Option<(LogIndex, LogIndex, Vec<Frame>)> {
        if self.applying || self.installing {
            return None;
        }
        let (first, last) = self.to_apply?;
        let mut bytes = 0;
        let cached: Vec<Frame> = self
            .cache
            .range(first..=last)
            .enumerate()
            .take_while(|(n, (index, frame))| {
                bytes += frame.payload.len();
                index.0 == first.0 + *n as u64 && (*n == 0 || bytes <= self.limits.apply_bytes_max)
            })
            .map(|(_, (_, frame))| frame.clone())
            .collect();
        self.applying = true;
        Some((first, last, cached))
    }

    /// An apply came back: answers its commits, moves the window, tells raft.
    pub fn applied(&mut self, first: LogIndex, applied: AppliedEntries, luck: u64) -> Work {
        let AppliedEntries { results, bytes, meta } = applied;
        self.applying = false;
        let last = LogIndex(first.0 + results.len() as u64 - 1);
        if let Some((from, to)) = self.to_apply {
            assert_eq!(from, first, "applied out of order");
            self.to_apply = (last < to).then(|| (last.next(), to));
        }
        self.meta = meta;
        self.bytes_since_checkpoint += bytes + results.len() * ENTRY_OVERHEAD_BYTES;
        for (n, result) in results.iter().enumerate() {
            let index = LogIndex(first.0 + n as u64);
            if let Some((_, window)) = &mut self.window {
                window.applied(index, result.timestamp);
            }
            self.hashes.push_back((index, result.state_hash));
            if let Some(proposal) = self.committed_at.remove(&index) {
                self.answer(proposal, Response::Commit(result.timestamp));
            }
        }
        while self.hashes.len() > self.limits.hashes_kept {
            self.hashes.pop_front();
        }
        self.trim_cache();
        self.step(Input::Applied(last), luck)
    }

    /// Drops payloads beyond the cache's bound (P2).
    fn trim_cache(&mut self) {
        let applied = self.meta.applied;
        while self.cache_bytes > self.limits.cache_bytes_max
            && let Some(first) = self.cache.first_entry()
            && *first.key() <= applied
        {
            self.cache_bytes -= first.remove().payload.len();
        }
        // What is applied here is durable here (R5).
        let unapplied = (Bound::Excluded(applied), Bound::Included(self.status.durable));
        while self.cache_bytes > self.limits.cache_bytes_max
            && !self.status.leading
            && let Some((&last, _)) = self.cache.range(unapplied).next_back()
        {
            mark!("shard: payload dropped before it was applied");
            self.cache_bytes -= self.cache.remove(&last).expect("it was just there").payload.len();
        }
    }

    /// A snapshot is in place: everything before it is applied at once.
    pub fn installed(&mut self, meta: Meta) {
        self.installing = false;
        self.meta = meta;
        self.to_apply = self.to_apply.and_then(|(first, last)| {
            let first = first.max(self.meta.applied.next());
            (first <= last).then_some((first, last))
        });
        self.hashes.clear();
        self.bytes_since_checkpoint = 0;
        // 1. we led and committed, 2. before the apply we were deposed, 3. the snapshot covers it. Raft has answered; whether it was
        // this entry that was applied elsewhere is certain, at which timestamp is not.
        let covered = self.commits.iter().filter(|(_, waiting)| waiting.index <= self.meta.applied);
        for proposal in covered.map(|(proposal, _)| *proposal).collect::<Vec<_>>() {
            mark!("shard: a commit was covered by a snapshot");
            self.answer(proposal, Response::Error(ShardError::Unknown));
        }
    }

    /// How far the log may be cut if that is wanted up to `index`, which a checkpoint covers; `None` if it is not worth it.
    ///
    /// Never beyond what raft knows to be applied: 1. an apply ends in the store, 2. a checkpoint there covers it, 3. its
    /// report overtakes that of the apply.
    pub fn compaction(&self, index: LogIndex) -> Option<SnapshotMeta> {
        let index = index.min(self.meta.applied);
        let term = self.raft().term_at(index)?;
        (index > LogIndex::ZERO).then_some(SnapshotMeta { index, term })
    }

    /// Nothing is on its way, and no follower is behind: as its leader knows.
    pub fn all_hold_all(&self) -> bool {
        let last = self.status.last.index;
        self.status.leading && self.meta.applied == last && self.status.matched.iter().all(|(_, index)| *index == last)
    }

    /// Takes a claim, unless an earlier one still waits.
    pub fn claim(&mut self, claim: StateClaim) {
        self.claim.get_or_insert(claim);
    }

    /// Compares the claim once its entry is applied here. An error: the replicas differ.
    pub fn judge_claim(&mut self) -> Result<(), String> {
        let Some(StateClaim { from, index, hash }) = self.claim.take_if(|claim| claim.index <= self.meta.applied)
        else {
            return Ok(());
        };
        // A snapshot may have passed it by, or too many entries.
        let Ok(at) = self.hashes.binary_search_by_key(&index, |(index, _)| *index) else { return Ok(()) };
        mark!("host: state hash compared");
        if self.hashes[at].1 == hash {
            return Ok(());
        }
        let shard = self.shard();
        Err(format!(
            "{shard} differs from its leader on {from} at {index}: one of them is wrong; this node stops so that it serves nothing more"
        ))
    }

    pub fn last_hash(&self) -> Option<(LogIndex, [u8; 32])> {
        self.hashes.back().copied()
    }

    /// The replica goes away: nobody is left waiting (P1).
    pub fn dissolve(mut self) {
        for Waiting { answer, .. } in std::mem::take(&mut self.commits).into_values() {
            if answer.send(Response::Error(ShardError::Unknown)).is_err() {
                mark!("shard: dissolved under a gateway that left");
            }
        }
        for (_, answer) in std::mem::take(&mut self.reads) {
            if answer.send(Err(Response::NotLeader { leader: None })).is_err() {
                mark!("shard: dissolved under a gateway that left");
            }
        }
    }
}

fn range_term(range: &LogRange, index: LogIndex) -> Term {
    range.runs.iter().rev().find(|run| run.first <= index).expect("runs cover the range").term
}

#[cfg(test)]
mod tests;
