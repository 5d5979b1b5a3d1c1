//! What the floors above ask of a shard: the whole vocabulary between gateways and shards. SQL never crosses it.
//!
//! Each request names tenant, shard, range epoch and catalog version; the shard checks all four, since routes are only
//! hints. One trait serves local and remote shards.

use async_trait::async_trait;
use tenet_types::{
    CatalogVersion, CodecError, Key, NodeId, RangeEpoch, ReadSet, Reader, RequestId, ShardId, Span, TenantId,
    Timestamp, Write, WriteSet, Writer,
};

/// Which shard is meant, and what the asker believes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub tenant: TenantId,
    pub shard: ShardId,
    pub epoch: RangeEpoch,
    /// The catalog that the request was planned with; `None` for the catalog's own reads, which are valid under any.
    pub catalog: Option<CatalogVersion>,
}

/// At which moment to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAt {
    /// Now: after everything that was acknowledged before the request (a read index at the leader). The reply names the
    /// timestamp, which is a snapshot for later reads.
    Latest,
    /// At a timestamp that an earlier reply named. Any replica that has applied it may answer.
    Snapshot(Timestamp),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetReply {
    pub at: Timestamp,
    /// One per key asked, in order; `None` where there is no row.
    pub values: Vec<Option<Vec<u8>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanReply {
    pub at: Timestamp,
    /// In order of key.
    pub rows: Vec<(Key, Vec<u8>)>,
    /// The first key not looked at; `None` when the span is exhausted.
    pub resume: Option<Key>,
}

/// A transaction that wants to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    pub request: RequestId,
    /// Everything in `reads` was read at this timestamp.
    pub snapshot: Timestamp,
    pub reads: ReadSet,
    pub catalog: CatalogVersion,
    /// In order of key, at most one per key, [`tenet_types::TXN_BYTES_MAX`] bytes encoded.
    pub writes: WriteSet,
}

/// One variant per decision that a gateway can make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Something in the read set was written after the snapshot, or the leader can no longer tell. Nothing happened.
    #[error("the transaction's reads are no longer valid")]
    Conflict,
    /// The tenant's catalog is another than the request was planned with. Nothing happened.
    #[error("the tenant's catalog changed")]
    CatalogChanged,
    /// The commit was proposed and its outcome is not known: it must not be tried again.
    #[error("the outcome of the commit is not known")]
    Unknown,
    /// Refused before anything was proposed, after patient retries.
    #[error("shard is not available: {0}")]
    Unavailable(String),
    /// The transaction's writes exceed [`tenet_types::TXN_BYTES_MAX`].
    #[error("the transaction's writes are too large")]
    TooLarge,
    /// The shard, or its tenant, was dropped or never was.
    #[error("the shard is gone")]
    Gone,
    /// The snapshot is older than what is kept.
    #[error("the snapshot is older than the history that is kept")]
    BelowGc,
    /// The data cannot be read; says what and where.
    #[error("damaged data: {0}")]
    Damaged(String),
    /// More commits wait for their outcome, or more calls are in service, than the shard's leader takes. Nothing happened.
    #[error("more is asked of the shard at once than it takes")]
    Busy,
}

/// The way to a shard, wherever it is. Reads are retried inside until a deadline; a commit only while it is certain that it
/// was not proposed.
#[async_trait]
pub trait ShardClient: Send + Sync {
    /// Rows of several keys, at one timestamp.
    async fn get(&self, target: Target, at: ReadAt, keys: Vec<Key>) -> Result<GetReply, ShardError>;

    /// A page of rows: ends at `limit_rows` rows, or soon after `limit_bytes` bytes; never empty unless the span is exhausted.
    async fn scan(
        &self,
        target: Target,
        at: ReadAt,
        span: Span,
        limit_bytes: usize,
        limit_rows: usize,
    ) -> Result<ScanReply, ShardError>;

    /// Validates and commits; the commit's timestamp.
    async fn commit(&self, target: Target, commit: CommitRequest) -> Result<Timestamp, ShardError>;
}

/// The three requests as one thing, for the wire and for routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Answered for the first of the keys at least, and for as many more as fit a page: the rest is asked for again.
    Get {
        at: ReadAt,
        keys: Vec<Key>,
    },
    Scan {
        at: ReadAt,
        span: Span,
        limit_bytes: usize,
        limit_rows: usize,
    },
    Commit(CommitRequest),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    Get(GetReply),
    Scan(ScanReply),
    Commit(Timestamp),
    /// Not here, and nothing was proposed: try `leader`, or any other replica.
    NotLeader {
        leader: Option<NodeId>,
    },
    Error(ShardError),
}

impl Request {
    pub fn encode(&self, target: &Target, w: &mut Writer) {
        w.varint(target.tenant.0);
        w.varint(target.shard.0);
        w.varint(target.epoch.0);
        w.varint(target.catalog.map_or(0, |c| c.0 + 1));
        match self {
            Request::Get { at, keys } => {
                w.u8(1);
                put_at(*at, w);
                put_keys(keys, w);
            }
            Request::Scan { at, span, limit_bytes, limit_rows } => {
                w.u8(2);
                put_at(*at, w);
                put_span(span, w);
                w.varint(*limit_bytes as u64);
                w.varint(*limit_rows as u64);
            }
            Request::Commit(commit) => {
                w.u8(3);
                w.u128(commit.request.session);
                w.varint(commit.request.sequence);
                w.u64(commit.snapshot.0);
                put_keys(&commit.reads.keys, w);
                w.varint(commit.reads.spans.len() as u64);
                for span in &commit.reads.spans {
                    put_span(span, w);
                }
                w.varint(commit.catalog.0);
                w.varint(commit.writes.len() as u64);
                for write in &commit.writes {
                    w.bytes(&write.key.0);
                    put_value(write.value.as_deref(), w);
                }
            }
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<(Target, Request), CodecError> {
        let target = Target {
            tenant: TenantId(r.varint("tenant")?),
            shard: ShardId(r.varint("shard")?),
            epoch: RangeEpoch(r.varint("epoch")?),
            catalog: r.varint("catalog version")?.checked_sub(1).map(CatalogVersion),
        };
        let request = match r.u8("request kind")? {
            1 => Request::Get { at: take_at(r)?, keys: take_keys(r)? },
            2 => Request::Scan {
                at: take_at(r)?,
                span: take_span(r)?,
                limit_bytes: r.varint("byte limit")? as usize,
                limit_rows: r.varint("row limit")? as usize,
            },
            3 => {
                let request = RequestId { session: r.u128("session")?, sequence: r.varint("sequence")? };
                let snapshot = Timestamp(r.u64("snapshot")?);
                let keys = take_keys(r)?;
                let spans = (0..r.count(2, "span count")?).map(|_| take_span(r)).collect::<Result<_, _>>()?;
                let catalog = CatalogVersion(r.varint("catalog version")?);
                let writes = (0..r.count(2, "write count")?)
                    .map(|_| Ok(Write { key: Key(r.bytes("key")?.to_vec()), value: take_value(r)? }))
                    .collect::<Result<_, CodecError>>()?;
                Request::Commit(CommitRequest { request, snapshot, reads: ReadSet { keys, spans }, catalog, writes })
            }
            _ => return Err(r.error("request kind")),
        };
        Ok((target, request))
    }
}

impl Response {
    pub fn encode(&self, w: &mut Writer) {
        match self {
            Response::Get(reply) => {
                w.u8(1);
                w.u64(reply.at.0);
                w.varint(reply.values.len() as u64);
                for value in &reply.values {
                    put_value(value.as_deref(), w);
                }
            }
            Response::Scan(reply) => {
                w.u8(2);
                w.u64(reply.at.0);
                w.varint(reply.rows.len() as u64);
                for (key, value) in &reply.rows {
                    w.bytes(&key.0);
                    w.bytes(value);
                }
                put_value(reply.resume.as_ref().map(|key| &key.0[..]), w);
            }
            Response::Commit(at) => {
                w.u8(3);
                w.u64(at.0);
            }
            Response::NotLeader { leader } => {
                w.u8(4);
                w.varint(leader.map_or(0, |node| node.0));
            }
            Response::Error(error) => {
                w.u8(5);
                let (kind, text) = match error {
                    ShardError::Conflict => (1, ""),
                    ShardError::CatalogChanged => (2, ""),
                    ShardError::Unknown => (3, ""),
                    ShardError::Unavailable(why) => (4, why.as_str()),
                    ShardError::TooLarge => (5, ""),
                    ShardError::Gone => (6, ""),
                    ShardError::BelowGc => (7, ""),
                    ShardError::Damaged(what) => (8, what.as_str()),
                    ShardError::Busy => (9, ""),
                };
                w.u8(kind);
                w.str(text);
            }
        }
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Response, CodecError> {
        Ok(match r.u8("response kind")? {
            1 => {
                let at = Timestamp(r.u64("timestamp")?);
                let values = (0..r.count(1, "value count")?).map(|_| take_value(r)).collect::<Result<_, _>>()?;
                Response::Get(GetReply { at, values })
            }
            2 => {
                let at = Timestamp(r.u64("timestamp")?);
                let rows = (0..r.count(2, "row count")?)
                    .map(|_| Ok((Key(r.bytes("key")?.to_vec()), r.bytes("value")?.to_vec())))
                    .collect::<Result<_, CodecError>>()?;
                Response::Scan(ScanReply { at, rows, resume: take_value(r)?.map(Key) })
            }
            3 => Response::Commit(Timestamp(r.u64("timestamp")?)),
            4 => Response::NotLeader { leader: Some(NodeId(r.varint("leader")?)).filter(|node| node.0 > 0) },
            5 => {
                let unknown = r.error("error kind");
                let kind = r.u8("error kind")?;
                let text = r.str("error text")?.to_owned();
                Response::Error(match kind {
                    1 => ShardError::Conflict,
                    2 => ShardError::CatalogChanged,
                    3 => ShardError::Unknown,
                    4 => ShardError::Unavailable(text),
                    5 => ShardError::TooLarge,
                    6 => ShardError::Gone,
                    7 => ShardError::BelowGc,
                    8 => ShardError::Damaged(text),
                    9 => ShardError::Busy,
                    _ => return Err(unknown),
                })
            }
            _ => return Err(r.error("response kind")),
        })
    }
}

fn put_at(at: ReadAt, w: &mut Writer) {
    match at {
        ReadAt::Latest => w.u8(0),
        ReadAt::Snapshot(at) => {
            w.u8(1);
            w.u64(at.0);
        }
    }
}

fn take_at(r: &mut Reader<'_>) -> Result<ReadAt, CodecError> {
    Ok(match r.u8("read time")? {
        0 => ReadAt::Latest,
        1 => ReadAt::Snapshot(Timestamp(r.u64("snapshot")?)),
        _ => return Err(r.error("read time")),
    })
}

fn put_keys(keys: &[Key], w: &mut Writer) {
    w.varint(keys.len() as u64);
    for key in keys {
        w.bytes(&key.0);
    }
}

fn take_keys(r: &mut Reader<'_>) -> Result<Vec<Key>, CodecError> {
    (0..r.count(1, "key count")?).map(|_| Ok(Key(r.bytes("key")?.to_vec()))).collect()
}

fn put_span(span: &Span, w: &mut Writer) {
    w.bytes(&span.start.0);
    w.bytes(&span.end.0);
}

fn take_span(r: &mut Reader<'_>) -> Result<Span, CodecError> {
    Ok(Span { start: Key(r.bytes("span start")?.to_vec()), end: Key(r.bytes("span end")?.to_vec()) })
}

fn put_value(value: Option<&[u8]>, w: &mut Writer) {
    match value {
        None => w.u8(0),
        Some(value) => {
            w.u8(1);
            w.bytes(value);
        }
    }
}

fn take_value(r: &mut Reader<'_>) -> Result<Option<Vec<u8>>, CodecError> {
    Ok(match r.u8("value kind")? {
        0 => None,
        1 => Some(r.bytes("value")?.to_vec()),
        _ => return Err(r.error("value kind")),
    })
}
