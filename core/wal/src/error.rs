use std::io;

use tenet_types::{LogIndex, ShardId};

/// One variant per decision of the caller.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// From `append`: the log is poisoned from now on; end the process. From `read`: the disk failed, the log did not.
    #[error("cannot {what} {path}: {source}")]
    Io { what: &'static str, path: String, source: io::Error },
    /// The disk is full. From `append` the log is poisoned from now on.
    #[error("cannot {what} {path}: the disk is full; make room and start the node again, nothing acknowledged is lost")]
    Full { what: &'static str, path: String },
    /// Bytes that were acknowledged are not what was written.
    #[error("the log is damaged: {what} in {path} at byte {offset}; {remedy}")]
    Damaged { what: String, path: String, offset: u64, remedy: &'static str },
    /// Written by another version of this program.
    #[error("{path} has format version {found}, this program knows {known}: start the version that wrote it")]
    Version { path: String, found: u32, known: u32 },
    /// The entry is not held: never appended, or compacted away.
    #[error("{shard} has no entry {index}")]
    Missing { shard: ShardId, index: LogIndex },
    #[error("{shard} has no group in the log")]
    NoGroup { shard: ShardId },
    /// The change contradicts what the log holds. Nothing was written.
    #[error("refused a change of {shard}: {why}")]
    Refused { shard: ShardId, why: &'static str },
    /// Nothing was written.
    #[error("a batch of {bytes} bytes is larger than {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: u64 },
    /// An earlier write failed; what the disk holds is unknown until the log is opened again.
    #[error("an earlier write to the log failed, nothing is written any more")]
    Poisoned,
}

/// What an operator can do. Repair from peers is not built yet.
pub(crate) const REMEDY: &str = "nothing was changed: restore the file from a copy made while the node was stopped, \
    or replace the node (remove it and add it again with an empty data folder); do not delete the file alone";

/// Names what failed; a full disk is its own case.
pub(crate) fn io(what: &'static str, path: &str) -> impl FnOnce(io::Error) -> WalError {
    let path = path.to_string();
    move |source| match source.kind() {
        io::ErrorKind::StorageFull => WalError::Full { what, path },
        _ => WalError::Io { what, path, source },
    }
}
