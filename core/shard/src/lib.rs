//! Replicas of shards.

mod client;

pub use client::{CommitRequest, GetReply, ReadAt, Request, Response, ScanReply, ShardClient, ShardError, Target};
