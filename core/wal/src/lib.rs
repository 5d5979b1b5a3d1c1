//! The one write-ahead log of a node, shared by all raft groups on it.
//!
//! One log, one sync, thousands of groups. What becomes durable together is a *batch*: a directory that says for each group
//! what changes (entries by index and term, term and vote, checkpoint, new base, beginning and end), then the payloads. A
//! group's entries are found by an index in memory, rebuilt at open. Batches lie in *segments*, files that are only ever
//! appended to, and each segment opens with the whole state of every group, so that the segments before it may go as soon as
//! nobody needs an entry in them. `docs/formats.md` draws every byte.
//!
//! Invariants
//!  W1  A batch is acknowledged only after the sync that covers it; the next one is written only after that.
//!  W2  Per group, entries are contiguous from `base + 1` to `last`, and lie in ascending places of the log.
//!  W3  A batch happens whole or not at all.
//!  W4  A term and a vote never go back, whatever is freed: each segment states them anew.
//!  W5  Bytes beyond the end of the log are zeros before they are written, and each written sector has a byte that is not
//!      zero, or is counted as blank. So a torn write lacks sectors, and rot does not.
//!  W6  What `open` returned is durable, even if what it read was only in the machine's cache.
//!  W7  After a failed write or sync nothing is written any more (what the disk then holds is unknown).
//!
//! **Torn or rotten?** At a crash at most one batch is unsynced (W1), at the end of the last segment. There, a batch that is
//! not whole is *cut* only if it is provably that one: no later batch has left a trace after it (it would have been written
//! after this one's sync), and sectors of it are missing as a torn write leaves them: blank (W5). Anything else (a later
//! batch, no missing sector, damage in an earlier segment) is damage to what was acknowledged: `open` refuses and says what,
//! where and the remedy. What cannot be told apart: the very last batch, acknowledged, of which later whole sectors became
//! zeros, or a file that was cut short or replaced by an older copy of itself. [`Wal::open`] and [`Wal::seal`] therefore end
//! with an empty batch: what lies before it is proven.
//!
//! Not here: raft's rules (the log stores what it is told, and refuses only what contradicts itself), repair of damage from
//! peers, encryption, copying an idle group's old entries forward to free a segment ([`Wal::pinning`] names those groups so
//! that the host can compact them).

mod cache;
mod error;
mod format;
mod group;
mod index;
mod recover;
mod scan;
mod segment;
mod wal;

use std::sync::Arc;

use tenet_types::{LogIndex, ReplicaId, ShardId, Term};

pub use error::WalError;
pub use group::GroupState;
pub use wal::Wal;

/// Most bytes of payload in one batch: what the reader is ready to hold in memory, and far beyond what a host gathers.
pub const BATCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// A segment ends before the batch that would make it longer than this; a single larger batch has one of its own.
    pub segment_bytes: u64,
    /// Memory for the payloads written last, so that reading the tail does not touch the disk.
    pub cache_bytes: usize,
    /// A number that no client can guess; it keeps payloads from passing as batches after a torn write. Put into each segment
    /// that is begun.
    pub salt: u64,
}

impl Default for WalOptions {
    fn default() -> WalOptions {
        WalOptions { segment_bytes: 16 * 1024 * 1024, cache_bytes: 16 * 1024 * 1024, salt: 0 }
    }
}

/// One entry of one group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub index: LogIndex,
    pub term: Term,
    pub payload: Arc<[u8]>,
}

/// What becomes durable by one sync. An empty batch is allowed: it proves that what came before it was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// A shard at most once.
    pub groups: Vec<(ShardId, Change)>,
}

/// What happens to one group, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The group begins under this replica id. Nothing happens if it is there under the same one.
    pub create: Option<ReplicaId>,
    /// Term and vote. Neither goes back.
    pub hard_state: Option<(Term, Option<ReplicaId>)>,
    /// A snapshot was installed: the log is empty after this base, which is its checkpoint too. Not before the checkpoint.
    pub reset: Option<(LogIndex, Term)>,
    /// Contiguous; entries at and after the first one's index are dropped before. After the checkpoint.
    pub entries: Vec<Frame>,
    /// The store durably holds everything up to here. An older one than is known changes nothing.
    pub checkpoint: Option<(LogIndex, Term)>,
    /// The new base: entries up to here need not be kept. Not after the checkpoint; an older base changes nothing.
    pub compact: Option<(LogIndex, Term)>,
    /// The group ends, and all that is known of it.
    pub drop: bool,
}

/// A look at the log, for metrics, tests and whoever schedules checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Segment files that are kept.
    pub segments: u64,
    /// Bytes in them, written or reserved.
    pub bytes: u64,
    pub groups: u64,
    /// Since open, as are the following.
    pub batches: u64,
    pub syncs: u64,
    pub segments_freed: u64,
    /// Frees that failed; they are tried again.
    pub frees_failed: u64,
    /// Payloads read from the disk, and from memory.
    pub disk_reads: u64,
    pub cache_reads: u64,
    pub cache_bytes: u64,
    /// The bytes of the torn batch that `open` cut.
    pub cut_bytes: u64,
}
