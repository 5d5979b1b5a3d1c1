//! One transaction: a snapshot, what was read at it, and a buffer of writes; optimistic until commit.
//!
//! Nothing is locked and nothing is sent before COMMIT but reads. The first read is made at the latest moment, and the
//! timestamp that its reply names is the snapshot of all later ones. COMMIT sends the read set (keys and spans, absent and
//! empty ones too) with the writes; the shard's leader validates both in one place and the whole is one raft entry.
//!
//! ```text
//!             get, scan                    commit
//!   begin ──▶ (no snapshot) ── first ──▶ (snapshot) ──▶ Some(timestamp) | conflict | unknown
//!                   └──────────── no writes: nothing is sent ──────────▶ None
//! ```
//!
//! Invariants
//!  T1  All reads of a transaction are of one snapshot, overlaid with its own writes as of the reader's making.
//!  T2  Whatever a result depended on is in the read set: a page of a scan records exactly the part of the span looked at.
//!      The set may cover more than was read (it is widened when it grows large), never less.
//!  T3  A transaction that writes has the catalog version's key in its read set.
//!  T4  A commit is sent once. What comes back as unknown stays unknown.
//!
//! Not here: retries, SQL, several shards, locks (later).

mod reads;
mod transaction;

pub use reads::READ_SET_BYTES_MAX;
pub use transaction::{Page, PageLimit, Reader, Transaction, TxnError};
