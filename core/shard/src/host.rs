//! The host loop: owns a node's replicas, steps them, and executes what they ask for.
//!
//! ```text
//!  mail, proposals, reads, ticks ──▶ step replicas ──▶ sends (now)
//!                                        │  ▲
//!                              one batch │  │ Persisted, Applied
//!                                        ▼  │
//!                          wal: one write, one sync at a time ──▶ sends (after)
//!                          stores: apply, checkpoint
//! ```
//!
//! While one batch is being written the next one gathers: that is the group commit, across all shards of the node.
//!
//! Invariants
//!  H1  A batch is written whole, one at a time, in the order of its tickets.
//!  H2  A replica applies one stretch at a time; nothing is applied to a store that a snapshot is about to replace.
//!  H3  A failed write, sync, apply or checkpoint ends the node: the state of what is unsynced is unknown (as on Linux), and a
//!      replica that cannot apply what others can must not go on.
//!  H4  A replica whose state hash differs from its leader's at the same index stops the node.
//!  H5  After `Stop` is answered nothing of the host touches the log or a store: what was on its way to the disk has arrived, and
//!      whoever waited was answered.
//!
//! Deliberately missing for now: several loops, quiescence of idle shards, coalesced heartbeats.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tenet_raft::{HardState, Input, SnapshotMeta, Ticket};
use tenet_seam::{Random, Seam};
use tenet_store::Meta;
use tenet_types::{LogIndex, NodeId, ReplicaId, ShardId, Term, mark};
use tenet_wal::{Batch, Change, Frame};
use tokio::sync::{mpsc, oneshot};

use crate::client::{CommitRequest, Response, Target};
use crate::replica::{CommitAnswer, Load, ReadAnswer, Replica, StateClaim, Work};
use crate::storage::{AppliedEntries, RaftStorage, Staged, StorageError};
use crate::view::{Descriptor, Limits, ReplicaView, Views};
use crate::wire::{PeerMessage, RaftMail};

/// Inputs that wait for the loop; beyond it mail is dropped and requests wait.
const INBOX_MAX: usize = 16 << 10;

/// Inputs taken in one turn.
const TURN_MAX: usize = 512;

/// Entries between two state hashes that a leader sends around.
const HASH_EVERY: u64 = 16;

/// Ticks between two looks at what holds on to old parts of the log, as long as these are few segments.
const PINNING_TICKS: u64 = 64;

/// When so many segments came after the oldest one, idle shards let go of it one after the other, as fast as the disk allows.
const PINNED_SEGMENTS_MAX: usize = 4;

/// Raft's network (the word of async-raft): fire and forget.
pub trait RaftNetwork: Send + Sync {
    fn send(&self, to: NodeId, message: PeerMessage);

    /// Streams a snapshot of the local store to a replica, in the background.
    fn send_snapshot(&self, offer: SnapshotOffer);

    /// The entry after which the log must be kept for a snapshot that is on its way.
    fn snapshot_floor(&self, shard: ShardId) -> Option<LogIndex>;
}

/// "Replica `to` needs a snapshot", said by a leader of `term`.
#[derive(Clone, Debug)]
pub struct SnapshotOffer {
    pub node: NodeId,
    pub shard: ShardId,
    pub from: ReplicaId,
    pub to: ReplicaId,
    pub term: Term,
    /// Size of its pieces.
    pub piece_bytes: usize,
}

/// Sees what replicas do that must agree with each other: the ear of a checker. Nothing in production listens.
pub trait Observer: Send + Sync {
    /// An entry was applied; the state is then this.
    fn applied(&self, shard: ShardId, replica: ReplicaId, index: LogIndex, hash: [u8; 32]);

    /// The replica leads from now on.
    fn elected(&self, _shard: ShardId, _replica: ReplicaId, _term: Term) {}

    /// Term and vote are durable, and what rests on them is about to leave.
    fn promised(&self, _shard: ShardId, _replica: ReplicaId, _hard_state: HardState) {}

    /// What a replica found on its disk at its start.
    fn restored(&self, _shard: ShardId, _replica: ReplicaId, _hard_state: HardState) {}
}

/// What the host loop is told.
pub enum HostInput {
    Mail(RaftMail),
    Commit {
        target: Target,
        commit: CommitRequest,
        answer: CommitAnswer,
    },
    Read {
        target: Target,
        answer: ReadAnswer,
    },
    SnapshotStaged {
        from: ReplicaId,
        to: ReplicaId,
        term: Term,
        staged: Staged,
    },
    StateHash {
        from: NodeId,
        shard: ShardId,
        index: LogIndex,
        hash: [u8; 32],
    },
    /// The map says that a replica of this shard lives here.
    Open {
        descriptor: Descriptor,
        done: oneshot::Sender<()>,
    },
    /// The map says that the shard is gone.
    Drop {
        shard: ShardId,
        done: oneshot::Sender<()>,
    },
    /// The node ends (H5).
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// The way to the host loop.
#[derive(Clone)]
pub struct HostHandle {
    inbox: mpsc::Sender<HostInput>,
    pub views: Arc<Views>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    mail_dropped: AtomicU64,
    batches: AtomicU64,
    checkpoints: AtomicU64,
}

/// Numbers for metrics, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostStats {
    /// Mail dropped because the loop was behind.
    pub mail_dropped: u64,
    /// Batches written, each with one sync.
    pub batches: u64,
    pub checkpoints: u64,
}

impl HostHandle {
    /// Drops the input when the loop is behind: only for what is said again.
    pub fn offer(&self, input: HostInput) {
        if self.inbox.try_send(input).is_err() {
            mark!("host: inbox full, mail dropped");
            self.counters.mail_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for room. Without a loop (the node is stopping) the input is dropped, and so are its answers.
    pub async fn give(&self, input: HostInput) {
        if self.inbox.send(input).await.is_err() {
            mark!("host: input after the end");
        }
    }

    pub fn stats(&self) -> HostStats {
        HostStats {
            mail_dropped: self.counters.mail_dropped.load(Ordering::Relaxed),
            batches: self.counters.batches.load(Ordering::Relaxed),
            checkpoints: self.counters.checkpoints.load(Ordering::Relaxed),
        }
    }
}

/// What came back from the disk.
enum Done {
    Applied { shard: ShardId, first: LogIndex, result: Result<AppliedEntries, StorageError> },
    Checkpointed { shard: ShardId, result: Result<Meta, StorageError> },
    Loaded { shard: ShardId, load: Load, result: Result<Vec<Frame>, StorageError> },
    Opened { descriptor: Descriptor, done: oneshot::Sender<()>, result: Result<crate::storage::Found, StorageError> },
    Removed { done: oneshot::Sender<()>, result: Result<(), StorageError> },
}

/// A batch on its way to disk, and what it will settle.
#[derive(Default)]
struct Writing {
    tickets: BTreeMap<ShardId, Ticket>,
    /// For the observer.
    promised: Vec<(ShardId, HardState)>,
    installed: Vec<(ShardId, Meta)>,
    dropped: Vec<(ShardId, oneshot::Sender<()>)>,
}

/// The one that is being written (H1).
type Write = (Writing, BoxFuture<'static, Result<(), StorageError>>);

struct Host {
    seam: Seam,
    me: NodeId,
    limits: Arc<Limits>,
    storage: Arc<dyn RaftStorage>,
    network: Arc<dyn RaftNetwork>,
    observer: Option<Arc<dyn Observer>>,
    views: Arc<Views>,
    counters: Arc<Counters>,
    luck: Random,
    replicas: BTreeMap<ShardId, Replica>,
    opening: BTreeSet<ShardId>,
    /// The batch that gathers.
    changes: BTreeMap<ShardId, Change>,
    tickets: BTreeMap<ShardId, Ticket>,
    /// Received snapshots that `changes` installs.
    staged: BTreeMap<ShardId, Staged>,
    dropping: Vec<(ShardId, oneshot::Sender<()>)>,
    checkpointing: Option<ShardId>,
    /// Where the next batch begins to gather: every group has its turn.
    next_group: ShardId,
    ticks: u64,
    /// Nothing new begins.
    stopping: bool,
    jobs: FuturesUnordered<BoxFuture<'static, Done>>,
    touched: BTreeSet<ShardId>,
}

/// What a host needs besides its replicas.
pub struct HostOptions {
    pub node: NodeId,
    pub limits: Limits,
    pub storage: Arc<dyn RaftStorage>,
    pub network: Arc<dyn RaftNetwork>,
    pub observer: Option<Arc<dyn Observer>>,
}

/// Starts the loop. It ends when it is told to, or when every handle is dropped.
pub fn start(seam: &Seam, options: HostOptions) -> HostHandle {
    let (inbox, inputs) = mpsc::channel(INBOX_MAX);
    let views = Arc::new(Views::default());
    let counters = Arc::new(Counters::default());
    let host = Host {
        seam: seam.clone(),
        me: options.node,
        limits: Arc::new(options.limits),
        storage: options.storage,
        network: options.network,
        observer: options.observer,
        views: views.clone(),
        counters: counters.clone(),
        luck: seam.random("raft"),
        replicas: BTreeMap::new(),
        opening: BTreeSet::new(),
        changes: BTreeMap::new(),
        tickets: BTreeMap::new(),
        staged: BTreeMap::new(),
        dropping: Vec::new(),
        checkpointing: None,
        next_group: ShardId(0),
        ticks: 0,
        stopping: false,
        jobs: FuturesUnordered::new(),
        touched: BTreeSet::new(),
    };
    seam.spawn("host", host.run(inputs));
    HostHandle { inbox, views, counters }
}

impl Host {
    async fn run(mut self, mut inputs: mpsc::Receiver<HostInput>) {
        let mut turn = Vec::with_capacity(TURN_MAX);
        let mut timer = self.seam.clock.sleep(self.limits.tick);
        let mut write: Option<Write> = None;
        loop {
            tokio::select! {
                biased;
                result = async { write.as_mut().expect("guarded").1.as_mut().await }, if write.is_some() => {
                    let (writing, _) = write.take().expect("guarded");
                    self.on_written(writing, result).await;
                }
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.on_done(done).await,
                () = &mut timer => {
                    timer = self.seam.clock.sleep(self.limits.tick);
                    self.on_tick();
                }
                count = inputs.recv_many(&mut turn, TURN_MAX) => {
                    if count == 0 {
                        return;
                    }
                    let mut turn = turn.drain(..);
                    while let Some(input) = turn.next() {
                        if let HostInput::Stop { done } = input {
                            inputs.close();
                            turn.for_each(refuse);
                            while let Some(input) = inputs.recv().await {
                                refuse(input);
                            }
                            return self.stop(write, done).await;
                        }
                        if let Err(reason) = self.on_input(input) {
                            halt(&self.seam, reason).await;
                        }
                    }
                }
            }
            self.propose_batches();
            self.start_applies();
            if write.is_none() {
                write = self.next_write();
            }
            self.show();
        }
    }

    /// What is on its way to the disk arrives, with all that follows from it; then nobody is left waiting.
    async fn stop(mut self, write: Option<Write>, done: oneshot::Sender<()>) {
        self.stopping = true;
        if let Some((writing, write)) = write {
            let result = write.await;
            self.on_written(writing, result).await;
        }
        while let Some(done) = self.jobs.next().await {
            self.on_done(done).await;
        }
        for (shard, replica) in self.replicas {
            replica.dissolve();
            self.views.set(shard, None);
        }
        if done.send(()).is_err() {
            mark!("host: nobody waits for its end");
        }
    }

    fn on_input(&mut self, input: HostInput) -> Result<(), String> {
        match input {
            HostInput::Stop { .. } => unreachable!("the loop itself ends by it"),
            // A message for a replica that is not here never creates one.
            HostInput::Mail(mail) => {
                let shard = mail.shard;
                let Some(replica) = self.replicas.get_mut(&shard).filter(|replica| replica.me() == mail.to) else {
                    mark!("host: mail for a replica that is not here");
                    return Ok(());
                };
                let mut work = propose(replica, &mut self.luck);
                let luck = self.luck.next_u64();
                work.push(replica.receive(mail, luck));
                self.execute_all(shard, work);
            }
            HostInput::Commit { target, commit, answer } => {
                let clock = &self.seam.clock;
                let time = (clock.now(), clock.wall_us() / 1000);
                match self.replicas.get_mut(&target.shard) {
                    Some(replica) => {
                        replica.admit(&target, commit, time, answer);
                        self.touched.insert(target.shard);
                    }
                    None => {
                        if answer.send(Response::NotLeader { leader: None }).is_err() {
                            mark!("host: commit for a replica that is not here");
                        }
                    }
                }
            }
            HostInput::Read { target, answer } => match self.replicas.get_mut(&target.shard) {
                Some(replica) => {
                    let mut work = propose(replica, &mut self.luck);
                    let luck = self.luck.next_u64();
                    work.push(replica.read(&target, answer, luck));
                    self.execute_all(target.shard, work);
                }
                None => {
                    if answer.send(Err(Response::NotLeader { leader: None })).is_err() {
                        mark!("host: read for a replica that is not here");
                    }
                }
            },
            HostInput::SnapshotStaged { from, to, term, staged } => {
                let shard = staged.shard;
                let meta = SnapshotMeta { index: staged.meta.applied, term: staged.meta.applied_term };
                let Some(replica) = self.replicas.get_mut(&shard).filter(|replica| replica.me() == to) else {
                    mark!("host: snapshot for a replica that is not here");
                    return Ok(());
                };
                if replica.installing {
                    mark!("host: snapshot while another is installed");
                    return Ok(());
                }
                let mut work = propose(replica, &mut self.luck);
                let luck = self.luck.next_u64();
                let step = replica.step(Input::SnapshotReceived { from, term, meta }, luck);
                if step.install {
                    replica.installing = true;
                    self.staged.insert(shard, staged);
                }
                work.push(step);
                self.execute_all(shard, work);
            }
            HostInput::StateHash { from, shard, index, hash } => {
                let Some(replica) = self.replicas.get_mut(&shard) else { return Ok(()) };
                replica.claim(StateClaim { from, index, hash });
                return replica.judge_claim();
            }
            HostInput::Open { descriptor, done } => {
                let shard = descriptor.shard;
                let Some((_, replica)) = descriptor.replicas.iter().find(|(node, _)| *node == self.me).copied() else {
                    return Ok(());
                };
                if self.replicas.contains_key(&shard) || !self.opening.insert(shard) {
                    return Ok(());
                }
                let storage = self.storage.clone();
                let seam = self.seam.clone();
                self.jobs.push(Box::pin(async move {
                    let result = seam.blocking(move || storage.open(shard, replica)).await;
                    Done::Opened { descriptor, done, result }
                }));
            }
            HostInput::Drop { shard, done } => {
                if let Some(replica) = self.replicas.remove(&shard) {
                    replica.dissolve();
                    self.views.set(shard, None);
                    self.staged.remove(&shard);
                    self.tickets.remove(&shard);
                    self.changes.insert(shard, Change { drop: true, ..Default::default() });
                    self.dropping.push((shard, done));
                } else {
                    self.remove(shard, done);
                }
            }
        }
        Ok(())
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        let shards: Vec<ShardId> = self.replicas.keys().copied().collect();
        for shard in shards {
            let replica = self.replicas.get_mut(&shard).expect("its key was just there");
            replica.ticks_since_checkpoint += 1;
            let mut work = propose(replica, &mut self.luck);
            let luck = self.luck.next_u64();
            work.push(replica.step(Input::Tick, luck));
            self.execute_all(shard, work);
        }
        self.maybe_checkpoint();
    }

    /// One checkpoint at a time: the replica with the most to lose first, then those that hold on to old segments.
    fn maybe_checkpoint(&mut self) {
        if self.checkpointing.is_some() || self.stopping {
            return;
        }
        let due = |replica: &&Replica| {
            !replica.installing
                && replica.bytes_since_checkpoint > 0
                && (replica.bytes_since_checkpoint >= self.limits.checkpoint_bytes
                    || replica.ticks_since_checkpoint >= self.limits.checkpoint_ticks)
        };
        let most = self.replicas.values().filter(due).max_by_key(|replica| replica.bytes_since_checkpoint);
        let Some(shard) = most.map(Replica::shard).or_else(|| self.pinning()) else { return };
        let replica = self.replicas.get_mut(&shard).expect("chosen among them");
        replica.bytes_since_checkpoint = 0;
        replica.ticks_since_checkpoint = 0;
        self.checkpointing = Some(shard);
        let (seam, storage) = (self.seam.clone(), self.storage.clone());
        self.jobs.push(Box::pin(async move {
            let result = seam.blocking(move || storage.checkpoint(shard)).await;
            Done::Checkpointed { shard, result }
        }));
    }

    /// A shard that holds on to old segments with entries that it could let go: mostly an idle one, with its last few.
    fn pinning(&self) -> Option<ShardId> {
        let is_look = self.ticks.is_multiple_of(PINNING_TICKS);
        let could = |shard: &ShardId| {
            self.replicas.get(shard).is_some_and(|replica| {
                let applied = replica.meta.applied;
                let until = self.network.snapshot_floor(*shard).map_or(applied, |floor| floor.min(applied));
                // A busy one is due by itself.
                let is_idle = is_look || replica.bytes_since_checkpoint == 0;
                is_idle && !replica.installing && replica.status().base < until
            })
        };
        let segments_after = if is_look { 1 } else { PINNED_SEGMENTS_MAX };
        self.storage.pinning(segments_after).into_iter().find(could)
    }

    async fn on_done(&mut self, done: Done) {
        match done {
            Done::Applied { shard, first, result } => {
                if !self.replicas.contains_key(&shard) {
                    return;
                }
                let applied = match result {
                    Ok(applied) => applied,
                    Err(error) => {
                        return halt(&self.seam, format!("{shard} cannot apply entry {first}: {error}")).await;
                    }
                };
                let replica = self.replicas.get_mut(&shard).expect("looked for above");
                let before = replica.meta.applied;
                let count = applied.results.len() as u64;
                if let Some(observer) = &self.observer {
                    for (n, applied) in applied.results.iter().enumerate() {
                        observer.applied(shard, replica.me(), LogIndex(first.0 + n as u64), applied.state_hash);
                    }
                }
                let mut work = propose(replica, &mut self.luck);
                let luck = self.luck.next_u64();
                work.push(replica.applied(first, applied, luck));
                if let Err(reason) = replica.judge_claim() {
                    return halt(&self.seam, reason).await;
                }
                if replica.status().leading
                    && before.0 / HASH_EVERY != (before.0 + count) / HASH_EVERY
                    && let Some((index, hash)) = replica.last_hash()
                {
                    let send = replica
                        .descriptor
                        .replicas
                        .iter()
                        .filter(|(node, _)| *node != self.me)
                        .map(|(node, _)| (*node, PeerMessage::StateHash { shard, index, hash }))
                        .collect();
                    work.push(Work { send, ..Work::default() });
                }
                self.execute_all(shard, work);
            }
            Done::Checkpointed { shard, result } => {
                self.checkpointing = None;
                self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
                match result {
                    Ok(meta) => self.on_checkpointed(shard, &meta),
                    Err(_) if !self.replicas.contains_key(&shard) => {
                        mark!("host: checkpoint of a shard that went away")
                    }
                    Err(error) => halt(&self.seam, format!("{shard} cannot be checkpointed: {error}")).await,
                }
                self.maybe_checkpoint();
            }
            Done::Loaded { shard, load, result } => match result {
                Ok(frames) => {
                    let Some(replica) = self.replicas.get_mut(&shard) else { return };
                    let work = replica.loaded(load, frames);
                    self.execute_all(shard, vec![work]);
                }
                // Compacted meanwhile: raft finds out by itself.
                Err(StorageError::Wal(tenet_wal::WalError::Missing { .. })) => {
                    mark!("host: entries compacted before they were read")
                }
                Err(_) if !self.replicas.contains_key(&shard) => mark!("host: entries of a shard that went away"),
                Err(error) => halt(&self.seam, format!("{shard} cannot be read back from the log: {error}")).await,
            },
            Done::Opened { descriptor, done, result } => {
                let shard = descriptor.shard;
                self.opening.remove(&shard);
                match result {
                    Ok(found) => {
                        if let Some(observer) = &self.observer {
                            observer.restored(shard, found.replica, found.hard_state);
                        }
                        tracing::info!(%shard, replica = %found.replica, applied = found.meta.applied.0, "replica opened");
                        let luck = self.luck.next_u64();
                        self.replicas.insert(shard, Replica::new(descriptor, found, self.limits.clone(), luck));
                        self.touched.insert(shard);
                        if done.send(()).is_err() {
                            mark!("host: nobody waits for a replica");
                        }
                    }
                    Err(error) => halt(&self.seam, format!("{shard} cannot be opened: {error}")).await,
                }
            }
            Done::Removed { done, result } => match result {
                Ok(()) => {
                    if done.send(()).is_err() {
                        mark!("host: nobody waits for a drop");
                    }
                }
                Err(error) => halt(&self.seam, format!("a dropped store cannot be removed: {error}")).await,
            },
        }
    }

    fn on_checkpointed(&mut self, shard: ShardId, meta: &Meta) {
        let Some(replica) = self.replicas.get_mut(&shard).filter(|replica| !replica.installing) else { return };
        let is_needed = !replica.all_hold_all() && !self.storage.pinning(1).contains(&shard);
        let tail = if is_needed { self.limits.log_tail_entries } else { 0 };
        // Unknown to raft: a snapshot has overtaken this checkpoint.
        let Some(checkpoint) = replica.compaction(meta.applied) else { return };
        let tail = LogIndex(meta.applied.0.saturating_sub(tail));
        let compact = replica.compaction(self.network.snapshot_floor(shard).map_or(tail, |floor| floor.min(tail)));
        let change = Change {
            checkpoint: Some((checkpoint.index, checkpoint.term)),
            compact: compact.map(|base| (base.index, base.term)),
            ..Default::default()
        };
        merge(self.changes.entry(shard).or_default(), change);
        if let Some(base) = compact {
            let mut work = propose(replica, &mut self.luck);
            let luck = self.luck.next_u64();
            work.push(replica.step(Input::Compacted(base), luck));
            self.execute_all(shard, work);
        }
    }

    fn execute_all(&mut self, shard: ShardId, work: Vec<Work>) {
        for work in work {
            self.execute(shard, work);
        }
    }

    fn execute(&mut self, shard: ShardId, work: Work) {
        self.touched.insert(shard);
        let Work { persist, install: _, send, load, send_snapshot, elected } = work;
        if let (Some(term), Some(observer)) = (elected, &self.observer)
            && let Some(replica) = self.replicas.get(&shard)
        {
            observer.elected(shard, replica.me(), term);
        }
        if let Some((ticket, change)) = persist {
            merge(self.changes.entry(shard).or_default(), change);
            self.tickets.insert(shard, ticket);
        }
        for (node, message) in send {
            self.network.send(node, message);
        }
        for load in load {
            let (seam, storage) = (self.seam.clone(), self.storage.clone());
            let (first, last, bytes_max) = (load.first, load.last, self.limits.apply_bytes_max);
            self.jobs.push(Box::pin(async move {
                let result = seam.blocking(move || storage.entries(shard, first, last, bytes_max)).await;
                Done::Loaded { shard, load, result }
            }));
        }
        let Some(replica) = self.replicas.get(&shard) else { return };
        for (node, to) in send_snapshot {
            let (from, term, piece_bytes) = (replica.me(), replica.status().term, self.limits.snapshot_piece_bytes);
            let offer = SnapshotOffer { node, shard, from, to, term, piece_bytes };
            self.network.send_snapshot(offer);
        }
    }

    /// Commits admitted in this turn are proposed together, a shard at a time.
    fn propose_batches(&mut self) {
        let shards: Vec<ShardId> = self.touched.iter().copied().collect();
        for shard in shards {
            if let Some(replica) = self.replicas.get_mut(&shard) {
                let work = propose(replica, &mut self.luck);
                self.execute_all(shard, work);
            }
        }
    }

    fn start_applies(&mut self) {
        for shard in &self.touched {
            let Some((first, last, cached)) = self.replicas.get_mut(shard).and_then(Replica::next_apply) else {
                continue;
            };
            let (seam, storage, shard) = (self.seam.clone(), self.storage.clone(), *shard);
            self.jobs.push(Box::pin(async move {
                let result = seam.blocking(move || storage.apply(shard, first, last, cached)).await;
                Done::Applied { shard, first, result }
            }));
        }
    }

    /// What has gathered, up to a bound: the rest is the next batch's. An install waits for whoever works on the store that it
    /// replaces.
    fn next_write(&mut self) -> Option<Write> {
        let busy = |shard: &ShardId| {
            self.checkpointing == Some(*shard) || self.replicas.get(shard).is_some_and(|replica| replica.applying)
        };
        let ready = |shard: &ShardId| !(self.staged.contains_key(shard) && busy(shard));
        let mut groups: Vec<ShardId> = self.changes.keys().copied().filter(ready).collect();
        let turn = groups.partition_point(|shard| *shard < self.next_group);
        groups.rotate_left(turn);
        if groups.is_empty() {
            return None;
        }
        let mut writing = Writing::default();
        let mut batch = Batch { groups: Vec::new() };
        let mut staged = Vec::new();
        let mut bytes = 0;
        for shard in groups {
            if bytes >= self.limits.batch_bytes {
                mark!("host: more than one batch gathered");
                break;
            }
            self.next_group = ShardId(shard.0.wrapping_add(1));
            let change = self.changes.remove(&shard).expect("it was just there");
            bytes += change.entries.iter().map(|frame| frame.payload.len()).sum::<usize>();
            let hard_state = change.hard_state.map(|(term, vote)| HardState { term, vote });
            writing.promised.extend(hard_state.map(|hard_state| (shard, hard_state)));
            writing.tickets.extend(self.tickets.remove(&shard).map(|ticket| (shard, ticket)));
            if let Some(arrived) = self.staged.remove(&shard) {
                writing.installed.push((shard, arrived.meta.clone()));
                staged.push(arrived);
            }
            batch.groups.push((shard, change));
        }
        let gathers = |(shard, _): &(ShardId, _)| self.changes.contains_key(shard);
        (self.dropping, writing.dropped) = std::mem::take(&mut self.dropping).into_iter().partition(gathers);
        batch.groups.sort_by_key(|(shard, _)| *shard);
        let (seam, storage) = (self.seam.clone(), self.storage.clone());
        let write = async move { seam.blocking(move || storage.persist(staged, batch)).await };
        Some((writing, Box::pin(write)))
    }

    async fn on_written(&mut self, writing: Writing, result: Result<(), StorageError>) {
        if let Err(error) = result {
            let what = match &error {
                StorageError::Wal(_) => "the log cannot be written",
                StorageError::Store(_) | StorageError::Damaged { .. } => "a snapshot cannot be put in place",
            };
            halt(&self.seam, format!("{what}: {error}")).await;
        }
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        if let Some(observer) = &self.observer {
            for (shard, hard_state) in writing.promised {
                let replica = self.replicas.get(&shard).map(Replica::me);
                replica.inspect(|replica| observer.promised(shard, *replica, hard_state));
            }
        }
        for (shard, meta) in writing.installed {
            if let Some(replica) = self.replicas.get_mut(&shard) {
                tracing::info!(%shard, index = meta.applied.0, "snapshot installed");
                replica.installed(meta);
            }
        }
        for (shard, ticket) in writing.tickets {
            let Some(replica) = self.replicas.get_mut(&shard) else { continue };
            let mut work = propose(replica, &mut self.luck);
            let luck = self.luck.next_u64();
            work.push(replica.persisted(ticket, luck));
            self.execute_all(shard, work);
        }
        for (shard, done) in writing.dropped {
            self.remove(shard, done);
        }
    }

    /// Erases what a dropped shard has left on the disk.
    fn remove(&mut self, shard: ShardId, done: oneshot::Sender<()>) {
        let (seam, storage) = (self.seam.clone(), self.storage.clone());
        self.jobs.push(Box::pin(async move {
            let result = seam.blocking(move || storage.remove(shard)).await;
            Done::Removed { done, result }
        }));
    }

    /// Updates the pictures of the replicas that were touched.
    fn show(&mut self) {
        for shard in std::mem::take(&mut self.touched) {
            let Some(replica) = self.replicas.get(&shard) else { continue };
            let status = replica.status();
            let view = ReplicaView {
                descriptor: replica.descriptor.clone(),
                me: replica.me(),
                term: status.term,
                leader: replica.leader_node(),
                leading: status.leading,
                serving: status.serving,
                commit: status.commit,
                last: status.last.index,
                meta: replica.meta.clone(),
                elections: replica.elections,
                waiting: replica.waiting(),
            };
            self.views.set(shard, Some(view));
        }
    }
}

/// The answer to what came too late: nothing was proposed.
fn refuse(input: HostInput) {
    let gone = match input {
        HostInput::Commit { answer, .. } => answer.send(Response::NotLeader { leader: None }).is_err(),
        HostInput::Read { answer, .. } => answer.send(Err(Response::NotLeader { leader: None })).is_err(),
        // Said again elsewhere, or nobody waits but who is ending too.
        HostInput::Mail(_)
        | HostInput::SnapshotStaged { .. }
        | HostInput::StateHash { .. }
        | HostInput::Open { .. }
        | HostInput::Drop { .. }
        | HostInput::Stop { .. } => false,
    };
    if gone {
        mark!("host: refused at the end, to a gateway that left");
    }
}

async fn halt(seam: &Seam, reason: String) {
    match seam.halt(reason).await {}
}

/// What was admitted is proposed before anything else reaches the replica, so that the indexes it was validated for hold.
fn propose(replica: &mut Replica, luck: &mut Random) -> Vec<Work> {
    if replica.has_batch() { vec![replica.propose(luck.next_u64())] } else { Vec::new() }
}

/// Joins a later change of a group to an earlier one of the same batch.
fn merge(earlier: &mut Change, later: Change) {
    let Change { create, hard_state, reset, entries, checkpoint, compact, drop } = later;
    assert!(create.is_none(), "groups are created outside of the host's batches");
    earlier.hard_state = hard_state.or(earlier.hard_state);
    if reset.is_some() {
        earlier.reset = reset;
        earlier.entries.clear();
        earlier.compact = None;
    }
    if let Some(first) = entries.first() {
        earlier.entries.retain(|frame| frame.index < first.index);
        earlier.entries.extend(entries);
    }
    earlier.checkpoint = checkpoint.max(earlier.checkpoint);
    earlier.compact = compact.max(earlier.compact);
    earlier.drop |= drop;
}
