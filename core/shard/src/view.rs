//! What others may know of a node's replicas without asking its host: descriptors in, a picture out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tenet_store::Meta;
use tenet_types::{LogIndex, NodeId, RangeEpoch, ReplicaId, ShardId, TenantId, Term, mark};

use crate::client::{Response, ShardError, Target};

/// A shard as the map has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub tenant: TenantId,
    pub shard: ShardId,
    pub epoch: RangeEpoch,
    /// One per node, in order of node.
    pub replicas: Vec<(NodeId, ReplicaId)>,
}

impl Descriptor {
    /// Whether a request means this range, as it is now: routes are only hints.
    pub fn check(&self, target: &Target) -> Result<(), Response> {
        if (target.tenant, target.shard, target.epoch) != (self.tenant, self.shard, self.epoch) {
            mark!("shard: request for another range");
            return Err(Response::Error(ShardError::Gone));
        }
        Ok(())
    }
}

/// Bounds and periods of a node's replicas. Worlds draw small ones, so that rare paths are common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub tick: Duration,
    pub election_ticks: u32,
    pub heartbeat_ticks: u32,
    pub append_entries_max: u64,
    pub appends_in_flight_max: u32,
    pub snapshot_retry_ticks: u32,
    /// Commits of one shard that wait for their outcome.
    pub proposals_max: usize,
    /// What their entries may take together, in bytes.
    pub proposals_bytes_max: usize,
    /// Applied write sets that a leader remembers for validation.
    pub window_sets_max: usize,
    /// What their keys may take, in bytes.
    pub window_bytes_max: usize,
    /// Payloads of applied entries kept per replica, in bytes.
    pub cache_bytes_max: usize,
    /// Entries applied in one piece, in bytes.
    pub apply_bytes_max: usize,
    /// Entries whose state hash is kept for comparison, per replica.
    pub hashes_kept: usize,
    /// A store is checkpointed after this many bytes of entries…
    pub checkpoint_bytes: usize,
    /// …or after this many ticks with anything to checkpoint.
    pub checkpoint_ticks: u32,
    /// Entries kept in the log beyond a checkpoint, for followers that are a little behind.
    pub log_tail_entries: u64,
    /// Bytes of one piece of a snapshot.
    pub snapshot_piece_bytes: usize,
    /// A write of the log takes no further group when it has so many bytes of entries. One group alone stays below as much again:
    /// its leader bounds what it proposes, and what it sends before it is acknowledged.
    pub batch_bytes: usize,
    /// Most rows and bytes of one page of a read, whatever was asked (G3).
    pub page_rows: usize,
    pub page_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            tick: Duration::from_millis(50),
            election_ticks: 10,
            heartbeat_ticks: 2,
            append_entries_max: 256,
            appends_in_flight_max: 32,
            snapshot_retry_ticks: 100,
            proposals_max: 4096,
            proposals_bytes_max: 32 << 20,
            window_sets_max: 16 << 10,
            window_bytes_max: 32 << 20,
            cache_bytes_max: 4 << 20,
            apply_bytes_max: 1 << 20,
            hashes_kept: 4096,
            checkpoint_bytes: 16 << 20,
            checkpoint_ticks: 1200,
            log_tail_entries: 1024,
            snapshot_piece_bytes: 256 << 10,
            batch_bytes: 64 << 20,
            page_rows: 4096,
            page_bytes: 512 << 10,
        }
    }
}

/// One replica, as it was after its last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    pub descriptor: Descriptor,
    pub me: ReplicaId,
    pub term: Term,
    pub leader: Option<NodeId>,
    pub leading: bool,
    pub serving: bool,
    pub commit: LogIndex,
    pub last: LogIndex,
    /// As of the last apply.
    pub meta: Meta,
    /// Times that this replica became leader since the start.
    pub elections: u64,
    /// Commits that wait for their outcome.
    pub waiting: usize,
}

/// The replicas of a node, shared between its host, its gateway and its metrics.
#[derive(Default)]
pub struct Views(Mutex<BTreeMap<ShardId, ReplicaView>>);

impl Views {
    pub fn get(&self, shard: ShardId) -> Option<ReplicaView> {
        self.0.lock().expect("no holder panics").get(&shard).cloned()
    }

    /// Looks at one replica without copying it.
    pub fn with<T>(&self, shard: ShardId, look: impl FnOnce(&ReplicaView) -> T) -> Option<T> {
        self.0.lock().expect("no holder panics").get(&shard).map(look)
    }

    pub fn all(&self) -> Vec<ReplicaView> {
        self.0.lock().expect("no holder panics").values().cloned().collect()
    }

    pub(crate) fn set(&self, shard: ShardId, view: Option<ReplicaView>) {
        let mut views = self.0.lock().expect("no holder panics");
        match view {
            Some(view) => views.insert(shard, view),
            None => views.remove(&shard),
        };
    }
}
