//! Replicas of shards: the pure raft machine made real on a node's disk and network, and the way in for those who use them.
//!
//! ```text
//!  client     the vocabulary: Target, get, scan, commit (`ShardClient`)
//!  service    routes a request to the node that can serve it, and serves those of others
//!  host       the loop that owns all replicas of a node: steps, one wal batch at a time, applies, checkpoints
//!  replica    one replica: raft machine, pending answers, payload cache, validation window
//!  validate   may this transaction commit?
//!  storage    wal and stores behind raft's effects        transport  one connection per node pair
//!  snapshot   stores on their way to followers            wire       what nodes say, as bytes
//! ```
//!
//! Deliberately missing for now: splits, membership changes, deduplication of request ids, follower reads that wait.

mod client;
mod clock;
mod host;
mod replica;
mod service;
mod snapshot;
mod storage;
mod transport;
mod validate;
mod view;
mod wire;

pub use client::{CommitRequest, GetReply, ReadAt, Request, Response, ScanReply, ShardClient, ShardError, Target};
pub use host::{
    HostHandle, HostInput, HostOptions, HostStats, Observer, RaftNetwork, SnapshotOffer, start as start_host,
};
pub use service::{PeerDesk, PeerNetwork, Shards};
pub use snapshot::Outgoing;
pub use storage::{DiskStorage, RaftStorage, StorageError};
pub use transport::{CallError, PeerHandler, Transport};
pub use view::{Descriptor, Limits, ReplicaView, Views};
pub use wire::{Answer, Call, FRAME_BYTES_MAX, PeerMessage, RaftMail, SnapshotPiece, Unframer, put_frames};
