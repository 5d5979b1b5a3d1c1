//! What raft's effects are executed on: the node's wal, and the pool of stores.
//!
//! All calls are synchronous and belong inside `Seam::blocking`. The machine never calls them; the host does.

use std::sync::Arc;

use tenet_raft::{HardState, LogRange, LogState, Run, SnapshotMeta};
use tenet_store::{Applied, Import, Meta, StoreError, StorePool};
use tenet_types::{LogIndex, ReplicaId, ShardId};
use tenet_wal::{Batch, Frame, Wal, WalError};

/// Most bytes of entries applied in one piece, so that other work interleaves.
const APPLY_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{shard}: {what}; {remedy}")]
    Damaged { shard: ShardId, what: String, remedy: &'static str },
}

const REPLACE: &str = "replace this node: stop it, give it an empty data folder and a new node number";

/// A received snapshot, complete on disk beside the store that it will replace.
pub struct Staged {
    pub shard: ShardId,
    pub import: Import,
    pub meta: Meta,
    /// Lives as long as the import does: no other may begin beside it.
    pub guard: Arc<()>,
}

/// A group's state as found at start.
pub struct Found {
    pub replica: ReplicaId,
    pub hard_state: HardState,
    pub log: LogState,
    pub meta: Meta,
}

/// What an apply did, entry by entry.
pub struct AppliedEntries {
    pub results: Vec<Applied>,
    /// Of the entries' payloads.
    pub bytes: usize,
    pub meta: Meta,
}

/// Raft's storage (the word of async-raft) for all replicas of a node.
pub trait RaftStorage: Send + Sync {
    /// Makes the replica's group and store exist, both empty where they are not. What it finds agrees, or is damage.
    fn open(&self, shard: ShardId, replica: ReplicaId) -> Result<Found, StorageError>;

    /// Installs the snapshots, then writes the batch with one sync. When it returns, all of it is durable.
    fn persist(&self, installs: Vec<Staged>, batch: Batch) -> Result<(), StorageError>;

    /// Entries with payloads; at least one, at most about `bytes_max` of payload.
    fn entries(
        &self,
        shard: ShardId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<Frame>, StorageError>;

    /// Applies entries from `first`, from `cached` where it begins there, else from the log; how far it came is in the result.
    fn apply(
        &self,
        shard: ShardId,
        first: LogIndex,
        last: LogIndex,
        cached: Vec<Frame>,
    ) -> Result<AppliedEntries, StorageError>;

    /// Makes what is applied durable.
    fn checkpoint(&self, shard: ShardId) -> Result<Meta, StorageError>;

    /// Removes what there is of a dropped shard: its group, if the log still has it, and then its store.
    fn remove(&self, shard: ShardId) -> Result<(), StorageError>;

    /// Groups that hold on to the oldest segment of the log, if at least so many came after it.
    fn pinning(&self, segments_after: usize) -> Vec<ShardId>;
}

/// The real one.
pub struct DiskStorage {
    pub wal: Arc<Wal>,
    pub pool: Arc<StorePool>,
}

impl RaftStorage for DiskStorage {
    fn open(&self, shard: ShardId, replica: ReplicaId) -> Result<Found, StorageError> {
        let damaged = |what: String| StorageError::Damaged { shard, what, remedy: REPLACE };
        if self.wal.group(shard).is_none() {
            if !self.pool.exists(shard)? {
                self.pool.create(shard)?;
            }
            let change = tenet_wal::Change { create: Some(replica), ..Default::default() };
            self.wal.append(Batch { groups: vec![(shard, change)] })?;
        }
        let group = self.wal.group(shard).expect("created above");
        if group.replica != replica {
            return Err(damaged(format!("the log holds replica {}, the map says {replica}", group.replica)));
        }
        if !self.pool.exists(shard)? {
            if group.base.0 > LogIndex::ZERO {
                return Err(damaged(format!("its store is missing and the log begins after {}", group.base.0)));
            }
            self.pool.create(shard)?;
        }
        let meta = self.pool.get(shard)?.durable();
        if meta.applied < group.base.0 {
            return Err(damaged(format!(
                "its store ends at {} and the log begins after {}",
                meta.applied, group.base.0
            )));
        }
        if group.term_at(meta.applied) != Some(meta.applied_term) {
            // 1. a snapshot's store was renamed into place, 2. the node died before the log's reset was durable, 3. so here the
            // log ends before the snapshot, or goes on with entries that were never committed. What a store holds is committed: it
            // wins, and the log is reset now. The hard state stays.
            tenet_types::mark!("storage: snapshot installed before the log knew");
            let base = (meta.applied, meta.applied_term);
            let change = tenet_wal::Change { reset: Some(base), ..Default::default() };
            self.wal.append(Batch { groups: vec![(shard, change)] })?;
        }
        let group = self.wal.group(shard).expect("still there");
        let hard_state = HardState { term: group.term, vote: group.vote };
        let base = SnapshotMeta { index: group.base.0, term: group.base.1 };
        let entries = (group.last > base.index).then(|| LogRange {
            first: base.index.next(),
            last: group.last,
            runs: group.runs.iter().map(|(first, term)| Run { first: *first, term: *term }).collect(),
        });
        let log = LogState { base, entries };
        Ok(Found { replica, hard_state, log, meta })
    }

    fn persist(&self, installs: Vec<Staged>, batch: Batch) -> Result<(), StorageError> {
        for staged in installs {
            self.pool.install(staged.shard, staged.import, &staged.meta)?;
        }
        Ok(self.wal.append(batch)?)
    }

    fn entries(
        &self,
        shard: ShardId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<Frame>, StorageError> {
        Ok(self.wal.read(shard, first, last, bytes_max)?)
    }

    fn apply(
        &self,
        shard: ShardId,
        first: LogIndex,
        last: LogIndex,
        cached: Vec<Frame>,
    ) -> Result<AppliedEntries, StorageError> {
        let frames = match cached.first() {
            Some(frame) if frame.index == first => cached,
            _ => self.wal.read(shard, first, last, APPLY_BYTES)?,
        };
        let entries: Vec<_> = frames.into_iter().map(|frame| (frame.index, frame.term, frame.payload)).collect();
        let bytes = entries.iter().map(|(_, _, payload)| payload.len()).sum();
        let store = self.pool.get(shard)?;
        let results = store.apply(&entries)?;
        Ok(AppliedEntries { results, bytes, meta: store.meta() })
    }

    fn checkpoint(&self, shard: ShardId) -> Result<Meta, StorageError> {
        Ok(self.pool.checkpoint(shard)?)
    }

    fn remove(&self, shard: ShardId) -> Result<(), StorageError> {
        if self.wal.group(shard).is_some() {
            tenet_types::mark!("storage: a shard was dropped while this node was away");
            let change = tenet_wal::Change { drop: true, ..Default::default() };
            self.wal.append(Batch { groups: vec![(shard, change)] })?;
        } else if !self.pool.exists(shard)? {
            return Ok(());
        }
        Ok(self.pool.remove(shard)?)
    }

    fn pinning(&self, segments_after: usize) -> Vec<ShardId> {
        self.wal.pinning(segments_after)
    }
}
