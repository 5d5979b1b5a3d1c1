//! What nodes say to each other after the handshake, as bytes.
//!
//! ```text
//! frame   = length (4, of what follows; at most FRAME_BYTES_MAX) · crc32c of the rest (4) · more (1) · piece
//! message = the pieces of consecutive frames, up to the first with more = 0
//!         = kind (1) · body
//!   1 raft      shard · from replica · to replica · raft message · payload …
//!   2 call      id · request
//!   3 answer    id · answer
//!   4 state hash  shard · index · hash (32)
//!   5 ping      nothing: "I am here"
//! ```
//! Kinds 16 to 31 are the handshake's (see `core/node`).

use std::sync::Arc;

use tenet_raft::{AppendOutcome, LogRange, Message as Raft, Run, SnapshotMeta};
use tenet_types::{CodecError, LogIndex, Reader, ReplicaId, ShardId, Term, Writer};

use crate::client::{Request, Response, Target};

/// Largest frame, in bytes, after its length.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Largest message, in bytes: a page of rows that hold the largest values.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

const FRAME_HEAD_BYTES: usize = 9;

/// A raft message with the payloads of the entries it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftMail {
    pub shard: ShardId,
    pub from: ReplicaId,
    pub to: ReplicaId,
    pub message: Raft,
    /// One per entry of an append, in order; empty otherwise.
    pub payloads: Vec<Arc<[u8]>>,
}

/// A question to another node that wants an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Shard(Target, Request),
    /// A piece of a snapshot. Pieces of one stream ascend from 0; the last one says so.
    Snapshot(SnapshotPiece),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPiece {
    pub shard: ShardId,
    pub from: ReplicaId,
    pub to: ReplicaId,
    /// The sender leads in this term.
    pub term: Term,
    /// Encoded `tenet_store::Meta` of the snapshot; the same in all pieces.
    pub meta: Vec<u8>,
    pub sequence: u64,
    pub bytes: Vec<u8>,
    pub last: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Shard(Response),
    /// Go on with the next piece, or (false) stop.
    Snapshot {
        go_on: bool,
    },
    /// Too many calls are in service: nothing was done.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerMessage {
    Raft(RaftMail),
    Call { id: u64, call: Call },
    Answer { id: u64, answer: Answer },
    StateHash { shard: ShardId, index: LogIndex, hash: [u8; 32] },
    Ping,
}

/// Appends the message to `out`, as one or several frames.
pub fn put_frames(message: &[u8], out: &mut Vec<u8>) {
    assert!(message.len() <= MESSAGE_BYTES_MAX, "a message of {} bytes is not sent", message.len());
    let piece_max = FRAME_BYTES_MAX - (FRAME_HEAD_BYTES - 4);
    let mut rest = message;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(piece_max));
        let more = u8::from(!after.is_empty());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[more]), piece);
        out.extend_from_slice(&((FRAME_HEAD_BYTES - 4 + piece.len()) as u32).to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.push(more);
        out.extend_from_slice(piece);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// Collects received bytes into messages.
#[derive(Default)]
pub struct Unframer {
    received: Vec<u8>,
    /// Bytes at the start of `received` that were taken out.
    taken: usize,
    message: Vec<u8>,
}

impl Unframer {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.received.drain(..self.taken);
            self.taken = 0;
        }
        self.received.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more bytes come. An error means that the stream is of no more use.
    pub fn pop(&mut self) -> Result<Option<Vec<u8>>, CodecError> {
        loop {
            let mut r = Reader::new(&self.received[self.taken..]);
            if r.remaining() < 4 {
                return Ok(None);
            }
            let len = r.u32("frame length")? as usize;
            if !(FRAME_HEAD_BYTES - 4..=FRAME_BYTES_MAX).contains(&len) {
                return Err(CodecError { what: "frame length", offset: 0 });
            }
            if r.remaining() < len {
                return Ok(None);
            }
            let crc = r.u32("frame checksum")?;
            let body = r.raw(len - 4, "frame")?;
            if crc32c::crc32c(body) != crc {
                return Err(CodecError { what: "frame checksum", offset: 4 });
            }
            let (more, piece) = (body[0], &body[1..]);
            if self.message.len() + piece.len() > MESSAGE_BYTES_MAX {
                return Err(CodecError { what: "message length", offset: 0 });
            }
            self.message.extend_from_slice(piece);
            self.taken += 4 + len;
            if more == 0 {
                return Ok(Some(std::mem::take(&mut self.message)));
            }
        }
    }
}

impl PeerMessage {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64);
        match self {
            PeerMessage::Raft(mail) => {
                w.u8(1);
                w.varint(mail.shard.0);
                w.varint(mail.from.0);
                w.varint(mail.to.0);
                put_raft(&mail.message, &mut w);
                w.varint(mail.payloads.len() as u64);
                for payload in &mail.payloads {
                    w.bytes(payload);
                }
            }
            PeerMessage::Call { id, call } => {
                w.u8(2);
                w.varint(*id);
                match call {
                    Call::Shard(target, request) => {
                        w.u8(1);
                        request.encode(target, &mut w);
                    }
                    Call::Snapshot(piece) => {
                        w.u8(2);
                        w.varint(piece.shard.0);
                        w.varint(piece.from.0);
                        w.varint(piece.to.0);
                        w.varint(piece.term.0);
                        w.bytes(&piece.meta);
                        w.varint(piece.sequence);
                        w.u8(u8::from(piece.last));
                        w.bytes(&piece.bytes);
                    }
                }
            }
            PeerMessage::Answer { id, answer } => {
                w.u8(3);
                w.varint(*id);
                match answer {
                    Answer::Shard(response) => {
                        w.u8(1);
                        response.encode(&mut w);
                    }
                    Answer::Snapshot { go_on } => {
                        w.u8(2);
                        w.u8(u8::from(*go_on));
                    }
                    Answer::Refused => w.u8(3),
                }
            }
            PeerMessage::StateHash { shard, index, hash } => {
                w.u8(4);
                w.varint(shard.0);
                w.varint(index.0);
                w.raw(hash);
            }
            PeerMessage::Ping => w.u8(5),
        }
        w.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<PeerMessage, CodecError> {
        let mut r = Reader::new(bytes);
        let message = match r.u8("message kind")? {
            1 => {
                let shard = ShardId(r.varint("shard")?);
                let from = ReplicaId(r.varint("sender")?);
                let to = ReplicaId(r.varint("receiver")?);
                let message = take_raft(&mut r)?;
                let count = r.count(1, "payload count")?;
                let payloads =
                    (0..count).map(|_| Ok(Arc::from(r.bytes("payload")?))).collect::<Result<Vec<_>, CodecError>>()?;
                let entries = match &message {
                    Raft::Append { entries: Some(range), .. } => range.last.0 - range.first.0 + 1,
                    _ => 0,
                };
                if entries != payloads.len() as u64 {
                    return Err(r.error("payload count"));
                }
                PeerMessage::Raft(RaftMail { shard, from, to, message, payloads })
            }
            2 => {
                let id = r.varint("call id")?;
                let call = match r.u8("call kind")? {
                    1 => {
                        let (target, request) = Request::decode(&mut r)?;
                        Call::Shard(target, request)
                    }
                    2 => Call::Snapshot(SnapshotPiece {
                        shard: ShardId(r.varint("shard")?),
                        from: ReplicaId(r.varint("sender")?),
                        to: ReplicaId(r.varint("receiver")?),
                        term: Term(r.counter("term")?),
                        meta: r.bytes("snapshot meta")?.to_vec(),
                        sequence: r.counter("sequence")?,
                        last: take_bool(&mut r, "last piece")?,
                        bytes: r.bytes("piece")?.to_vec(),
                    }),
                    _ => return Err(r.error("call kind")),
                };
                PeerMessage::Call { id, call }
            }
            3 => {
                let id = r.varint("call id")?;
                let answer = match r.u8("answer kind")? {
                    1 => Answer::Shard(Response::decode(&mut r)?),
                    2 => Answer::Snapshot { go_on: take_bool(&mut r, "go on")? },
                    3 => Answer::Refused,
                    _ => return Err(r.error("answer kind")),
                };
                PeerMessage::Answer { id, answer }
            }
            4 => PeerMessage::StateHash {
                shard: ShardId(r.varint("shard")?),
                index: LogIndex(r.counter("index")?),
                hash: r.raw(32, "state hash")?.try_into().expect("32 bytes were asked for"),
            },
            5 => PeerMessage::Ping,
            _ => return Err(CodecError { what: "message kind", offset: 0 }),
        };
        r.finish("message")?;
        Ok(message)
    }
}

fn put_raft(message: &Raft, w: &mut Writer) {
    match message {
        Raft::PreVote { term, last } => {
            put_head(1, *term, w);
            put_meta(*last, w);
        }
        Raft::PreVoteReply { term, granted } => {
            put_head(2, *term, w);
            w.u8(u8::from(*granted));
        }
        Raft::Vote { term, last } => {
            put_head(3, *term, w);
            put_meta(*last, w);
        }
        Raft::VoteReply { term, granted } => {
            put_head(4, *term, w);
            w.u8(u8::from(*granted));
        }
        Raft::Append { term, prev, entries, commit, round } => {
            put_head(5, *term, w);
            put_meta(*prev, w);
            w.varint(commit.0);
            w.varint(*round);
            match entries {
                None => w.varint(0),
                Some(range) => {
                    w.varint(range.runs.len() as u64);
                    w.varint(range.last.0);
                    for run in &range.runs {
                        put_meta(SnapshotMeta { index: run.first, term: run.term }, w);
                    }
                }
            }
        }
        Raft::AppendReply { term, round, outcome } => {
            put_head(6, *term, w);
            w.varint(*round);
            match outcome {
                AppendOutcome::Matched(index) => {
                    w.u8(1);
                    w.varint(index.0);
                }
                AppendOutcome::Conflict(meta) => {
                    w.u8(2);
                    put_meta(*meta, w);
                }
            }
        }
        Raft::Heartbeat { term, commit, round } => {
            put_head(7, *term, w);
            w.varint(commit.0);
            w.varint(*round);
        }
        Raft::HeartbeatReply { term, round } => {
            put_head(8, *term, w);
            w.varint(*round);
        }
    }
}

fn take_raft(r: &mut Reader<'_>) -> Result<Raft, CodecError> {
    let unknown = r.error("raft message kind");
    let kind = r.u8("raft message kind")?;
    let term = Term(r.counter("term")?);
    Ok(match kind {
        1 => Raft::PreVote { term, last: take_meta(r)? },
        2 => Raft::PreVoteReply { term, granted: take_bool(r, "granted")? },
        3 => Raft::Vote { term, last: take_meta(r)? },
        4 => Raft::VoteReply { term, granted: take_bool(r, "granted")? },
        5 => {
            let prev = take_meta(r)?;
            let commit = LogIndex(r.counter("commit")?);
            let round = r.counter("round")?;
            let runs = r.count(2, "run count")?;
            let entries = if runs == 0 { None } else { Some(take_range(r, runs)?) };
            Raft::Append { term, prev, entries, commit, round }
        }
        6 => {
            let round = r.counter("round")?;
            let outcome = match r.u8("append outcome")? {
                1 => AppendOutcome::Matched(LogIndex(r.counter("matched")?)),
                2 => AppendOutcome::Conflict(take_meta(r)?),
                _ => return Err(r.error("append outcome")),
            };
            Raft::AppendReply { term, round, outcome }
        }
        7 => Raft::Heartbeat { term, commit: LogIndex(r.counter("commit")?), round: r.counter("round")? },
        8 => Raft::HeartbeatReply { term, round: r.counter("round")? },
        _ => return Err(unknown),
    })
}

/// A range that keeps the promises of its type: the machine may rely on them.
fn take_range(r: &mut Reader<'_>, count: usize) -> Result<LogRange, CodecError> {
    let bad = r.error("entry range");
    let last = LogIndex(r.counter("last index")?);
    let mut runs: Vec<Run> = Vec::with_capacity(count);
    for _ in 0..count {
        let SnapshotMeta { index: first, term } = take_meta(r)?;
        if runs.last().is_some_and(|before| before.first >= first || before.term >= term) {
            return Err(bad);
        }
        runs.push(Run { first, term });
    }
    let first = runs[0].first;
    if first == LogIndex::ZERO || runs.last().is_some_and(|run| run.first > last) {
        return Err(bad);
    }
    Ok(LogRange { first, last, runs })
}

fn put_head(kind: u8, term: Term, w: &mut Writer) {
    w.u8(kind);
    w.varint(term.0);
}

fn put_meta(meta: SnapshotMeta, w: &mut Writer) {
    w.varint(meta.index.0);
    w.varint(meta.term.0);
}

fn take_meta(r: &mut Reader<'_>) -> Result<SnapshotMeta, CodecError> {
    Ok(SnapshotMeta { index: LogIndex(r.counter("index")?), term: Term(r.counter("term")?) })
}

fn take_bool(r: &mut Reader<'_>, what: &'static str) -> Result<bool, CodecError> {
    let bad = r.error(what);
    match r.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(bad),
    }
}

#[cfg(test)]
mod tests;
