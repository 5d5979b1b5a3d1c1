//! What may go wrong, one variant for each decision of the caller.

use std::io;

use tenet_types::{CodecError, Key, LogIndex, ShardId, Term, Timestamp};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The shard has no file here.
    #[error("store file {path} does not exist")]
    Missing { path: String },
    #[error("store file {path} exists already")]
    Exists { path: String },
    /// The file of another shard.
    #[error("store file {path} belongs to shard {found}, not to {expected}; give each shard its own file back")]
    WrongShard { path: String, expected: ShardId, found: ShardId },
    /// Written by another version of this program.
    #[error(
        "store file {path} has {what} format {found}, and this version of tenet reads {known}; use the version that wrote it"
    )]
    Version { path: String, what: &'static str, found: u8, known: u8 },
    /// The file is not what was written. `key` is the version that was found damaged, if one was.
    #[error("store file {path} is damaged: {what}{}; replace this replica, or restore the file from a backup", at_key(.key))]
    Damaged { path: String, what: String, key: Option<Key> },
    /// The disk is full. The store is dead; open it again when there is room.
    #[error(
        "the disk is full: no space for store file {path}; make room and start the node again, nothing acknowledged is lost"
    )]
    Full { path: String, source: io::Error },
    /// The store is dead; open it again, or give the replica up.
    #[error("store file {path}: {what} failed: {source}")]
    Io { path: String, what: &'static str, source: io::Error },
    /// What the disk holds is unknown from now on: end the process.
    #[error("store file {path}: sync failed: {source}; what the disk holds is not known, and only a restart helps")]
    SyncFailed { path: String, source: io::Error },
    /// An earlier call failed, or the file was removed or replaced.
    #[error("store file {path} failed earlier, or was removed; open it again")]
    Dead { path: String },

    /// The entry does not follow the last one applied. Nothing was applied.
    #[error("entry {index} of {term} cannot follow {applied} of {applied_term}")]
    NotContiguous { applied: LogIndex, applied_term: Term, index: LogIndex, term: Term },
    /// The entry is not one. Nothing of the batch was applied. Deterministic: every replica says so.
    #[error("entry {index} cannot be applied: {source}")]
    Entry { index: LogIndex, source: CodecError },
    /// Versions that a read at this time might need are gone.
    #[error("cannot read at {at}: versions before {threshold} are gone")]
    BelowGc { at: Timestamp, threshold: Timestamp },
    /// A chunk of a snapshot is damaged, or not the next one. Nothing of it was taken; the right one may follow.
    #[error("snapshot chunk for store file {path} refused: {what}")]
    Chunk { path: String, what: String },
    /// The snapshot's chunks and its meta do not belong together.
    #[error("snapshot for store file {path} refused: {what}")]
    Snapshot { path: String, what: &'static str },
}

fn at_key(key: &Option<Key>) -> String {
    key.as_ref().map_or_else(String::new, |key| format!(" (key {key})"))
}
