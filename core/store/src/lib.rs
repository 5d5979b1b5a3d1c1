//! One shard's rows, in every version, in one redb file; and the pool of a node's open stores.
//!
//! A shard is a file, so that it can be moved, encrypted and dropped as one. Commits reach it in log order by
//! [`Store::apply`], which redb keeps in memory (`Durability::None`): the wal has them already and replays them after a
//! crash. A [`Store::checkpoint`] makes everything so far durable at once, and only then may the log be cut. The meta row
//! lies in the same redb transaction as the rows, so that a file always says exactly which entry it ends at.
//!
//! ```text
//!              apply (None)              checkpoint (Immediate)
//!   wal ────────────────────▶ redb, in memory ─────────────▶ redb, on disk ──▶ durable(): the wal may forget
//!    ▲                                                           │
//!    └──────────── replay from meta.applied + 1 ◀── crash ───────┘
//! ```
//!
//! Invariants
//!  T1  `meta.applied` is the last entry whose writes are in the file, and no part of a later one is.
//!  T2  Replicas with equal `meta.applied` that applied the same log have equal rows, timestamps and `state_hash`: apply reads
//!      no clock, draws no luck, and fails only by what the entries say.
//!  T3  No read transaction outlives a call, and each call does a bounded number of steps ([`STEPS_MAX`]): one that is held
//!      makes redb keep every page freed since (measured: a file grew from 64 MB to 1 GB). A timestamp gives the stable view,
//!      a key the place to go on.
//!  T4  Every version carries a checksum over its key, its timestamp and its value, verified whenever it is looked at,
//!      because redb does not verify what it reads. So are the neighbours of the place where a search ended, because a
//!      damaged key misleads a search.
//!  T5  A store that failed to write is dead: nothing reaches its file any more, destructors included. It is opened again, or
//!      the node ends (a failed sync).
//!  T6  A file gets its name only when it is whole and durable: it is made under `<path>.new` and renamed.
//!
//! Keys obey Y1 (no key is a prefix of another): then versions sort as their keys do.
//!
//! Not here: garbage collection of versions (`gc_threshold` is kept and obeyed; nothing raises it yet), encryption,
//! membership and dedupe watermarks in the meta row (room is reserved), when to checkpoint (the host decides), the log.
//! Damage in redb's own inner pages can hide versions that are themselves intact; only [`Store::scrub`] sees that.

mod backend;
mod error;
mod meta;
mod pool;
mod store;
mod transfer;
mod version;

pub use error::StoreError;
pub use meta::{META_FORMAT, Meta};
pub use pool::{PoolOptions, StorePool};
pub use store::{Applied, Page, STEPS_MAX, ScanLimit, Store, StoreOptions};
pub use transfer::{CHUNK_FORMAT, ExportChunk, Import};

#[cfg(test)]
mod tests;
