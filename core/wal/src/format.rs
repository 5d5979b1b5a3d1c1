//! The bytes of the log. `docs/formats.md` draws them; this file reads and writes them.
//!
//! A batch is `head · body · checksum · repeated · frames · zeros · digest`, in whole sectors. Head, body and checksum are
//! its *directory*; `repeated` is the directory of the batch before. A segment's header is a batch too, of another kind.
//!
//! Numbers: the head has fixed little-endian ones, bodies have LEB128 varints.

use std::ops::Range;

use tenet_seam::SECTOR_BYTES;
use tenet_types::{CodecError, LogIndex, Reader, ReplicaId, ShardId, Term, Writer};

use crate::group::GroupState;
use crate::{Batch, Change};

pub(crate) const FORMAT_VERSION: u32 = 1;
pub(crate) const HEAD_BYTES: usize = 104;
pub(crate) const CHECKSUM_BYTES: usize = 16;
pub(crate) const DIGEST_BYTES: usize = 32;
/// Before each payload: its crc32c.
pub(crate) const FRAME_HEAD_BYTES: usize = 4;

const MAGIC_SEGMENT: &[u8; 8] = b"TENETSEG";
const MAGIC_BATCH: &[u8; 8] = b"TENETBAT";
/// Where in the head its own crc32c stands, and what checksums and digests cover begins. What is before differs by layout
/// (how many sectors are blank), not by content.
const HEAD_CRC_AT: usize = 16;
const HASHED_FROM: usize = 20;
const ZERO_SECTOR: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];

const _: () = assert!(HEAD_BYTES + DIGEST_BYTES <= SECTOR_BYTES);

/// A segment's number; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentId(pub u64);

impl SegmentId {
    pub const NONE: SegmentId = SegmentId(0);

    pub fn next(self) -> SegmentId {
        SegmentId(self.0 + 1)
    }
}

/// Counts batches (segment headers too) over the whole life of the log; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sequence(pub u64);

impl Sequence {
    pub fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }
}

pub(crate) type Digest = [u8; DIGEST_BYTES];

/// What ties a batch to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub sequence: Sequence,
    pub previous: Digest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Segment,
    Batch,
}

/// The fixed start of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub kind: Kind,
    pub version: u32,
    /// Sectors of the batch that are all zeros because their content is (W5).
    pub blank_sectors: u32,
    pub body_bytes: u32,
    pub repeated_bytes: u32,
    pub frames_bytes: u64,
    pub segment: SegmentId,
    pub offset: u64,
    /// Taken from the segment header's digest; 0 in the header itself.
    pub tag: u64,
    pub link: Link,
}

impl Head {
    fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut w = Writer::with_capacity(HEAD_BYTES);
        w.raw(match self.kind {
            Kind::Segment => MAGIC_SEGMENT,
            Kind::Batch => MAGIC_BATCH,
        });
        w.u32(self.version);
        w.u32(self.blank_sectors);
        w.u32(0);
        w.u32(self.body_bytes);
        w.u32(self.repeated_bytes);
        w.u32(0);
        w.u64(self.frames_bytes);
        w.u64(self.segment.0);
        w.u64(self.offset);
        w.u64(self.link.sequence.0);
        w.u64(self.tag);
        w.raw(&self.link.previous);
        let mut head: [u8; HEAD_BYTES] = w.into_vec().try_into().expect("the fields above are of fixed size");
        let crc = head_crc(&head);
        head[HEAD_CRC_AT..HASHED_FROM].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// `None` if these bytes are no head.
    pub fn decode(bytes: &[u8]) -> Option<Head> {
        let head: &[u8; HEAD_BYTES] = bytes.get(..HEAD_BYTES)?.try_into().expect("as long as asked for");
        let kind = match &head[..8] {
            magic if magic == MAGIC_SEGMENT => Kind::Segment,
            magic if magic == MAGIC_BATCH => Kind::Batch,
            _ => return None,
        };
        Head::decode_fields(kind, head).ok().flatten()
    }

    fn decode_fields(kind: Kind, head: &[u8; HEAD_BYTES]) -> Result<Option<Head>, CodecError> {
        let mut r = Reader::new(&head[8..]);
        let version = r.u32("version")?;
        let blank_sectors = r.u32("blank sectors")?;
        if r.u32("crc")? != head_crc(head) {
            return Ok(None);
        }
        let body_bytes = r.u32("body bytes")?;
        let repeated_bytes = r.u32("repeated bytes")?;
        r.u32("reserved")?;
        let frames_bytes = r.u64("frames bytes")?;
        let segment = SegmentId(r.u64("segment")?);
        let offset = r.u64("offset")?;
        let sequence = Sequence(r.u64("sequence")?);
        let tag = r.u64("tag")?;
        let previous = r.raw(DIGEST_BYTES, "previous digest")?.try_into().expect("as long as asked for");
        let link = Link { sequence, previous };
        Ok(Some(Head {
            kind,
            version,
            blank_sectors,
            body_bytes,
            repeated_bytes,
            frames_bytes,
            segment,
            offset,
            tag,
            link,
        }))
    }

    /// Length of the whole batch, a multiple of the sector; `None` if no file can be so long.
    pub fn extent(&self) -> Option<usize> {
        extent(self.body_bytes as usize, self.repeated_bytes as usize, self.frames_bytes)
    }

    pub fn directory_bytes(&self) -> usize {
        HEAD_BYTES + self.body_bytes as usize + CHECKSUM_BYTES
    }

    /// From the start of the batch.
    pub fn frames_at(&self) -> usize {
        self.directory_bytes() + self.repeated_bytes as usize
    }
}

fn head_crc(head: &[u8; HEAD_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&head[..HEAD_CRC_AT]), &head[HASHED_FROM..])
}

pub(crate) fn extent(body_bytes: usize, repeated_bytes: usize, frames_bytes: u64) -> Option<usize> {
    let bytes = (HEAD_BYTES + CHECKSUM_BYTES + DIGEST_BYTES)
        .checked_add(body_bytes)?
        .checked_add(repeated_bytes)?
        .checked_add(usize::try_from(frames_bytes).ok()?)?;
    bytes.checked_next_multiple_of(SECTOR_BYTES)
}

/// Covers who the payload belongs to, so that a frame in the wrong place is seen.
pub(crate) fn frame_crc(shard: ShardId, index: LogIndex, term: Term, payload: &[u8]) -> u32 {
    let mut identity = [0; 24];
    identity[..8].copy_from_slice(&shard.0.to_le_bytes());
    identity[8..16].copy_from_slice(&index.0.to_le_bytes());
    identity[16..].copy_from_slice(&term.0.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&identity), payload)
}

fn directory_checksum(hashed: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::hash(hashed);
    hash.as_bytes()[..CHECKSUM_BYTES].try_into().expect("a digest is longer than a checksum")
}

pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.chunks(SECTOR_BYTES).all(|sector| sector == &ZERO_SECTOR[..sector.len()])
}

/// Counts sectors that are all zeros.
pub(crate) fn blank_sectors(bytes: &[u8]) -> u32 {
    let count = bytes.chunks(SECTOR_BYTES).filter(|sector| is_blank(sector)).count();
    u32::try_from(count).expect("a batch is bounded")
}

/// Entries of one group in one batch: who they are, not what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryRange {
    pub first: LogIndex,
    /// How many entries of which term, in order.
    pub runs: Vec<(u32, Term)>,
    /// Length of each payload.
    pub payload_bytes: Vec<u32>,
}

impl EntryRange {
    /// Index, term and payload length of each entry.
    pub fn iter(&self) -> impl Iterator<Item = (LogIndex, Term, u32)> + '_ {
        let terms = self.runs.iter().flat_map(|(count, term)| std::iter::repeat_n(*term, *count as usize));
        let lens = self.payload_bytes.iter().copied();
        (self.first.0..).map(LogIndex).zip(terms).zip(lens).map(|((index, term), len)| (index, term, len))
    }
}

/// A [`Change`] without its payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub create: Option<ReplicaId>,
    pub hard_state: Option<(Term, Option<ReplicaId>)>,
    pub reset: Option<(LogIndex, Term)>,
    pub entries: Option<EntryRange>,
    pub checkpoint: Option<(LogIndex, Term)>,
    pub compact: Option<(LogIndex, Term)>,
    pub drop: bool,
}

impl Record {
    /// Why the change makes no sense in itself, or its record.
    pub fn of(change: &Change) -> Result<Record, &'static str> {
        let mut entries: Option<EntryRange> = None;
        for frame in &change.entries {
            let Ok(len) = u32::try_from(frame.payload.len()) else { return Err("a payload is too long") };
            let range = entries.get_or_insert(EntryRange {
                first: frame.index,
                runs: Vec::new(),
                payload_bytes: Vec::with_capacity(change.entries.len()),
            });
            if frame.index.0 != range.first.0 + range.payload_bytes.len() as u64 {
                return Err("the entries are not contiguous");
            }
            match range.runs.last_mut() {
                Some((count, term)) if *term == frame.term => *count += 1,
                _ => range.runs.push((1, frame.term)),
            }
            range.payload_bytes.push(len);
        }
        Ok(Record {
            create: change.create,
            hard_state: change.hard_state,
            reset: change.reset,
            entries,
            checkpoint: change.checkpoint,
            compact: change.compact,
            drop: change.drop,
        })
    }

    const CREATE: u8 = 1;
    const HARD_STATE: u8 = 2;
    const RESET: u8 = 4;
    const ENTRIES: u8 = 8;
    const CHECKPOINT: u8 = 16;
    const COMPACT: u8 = 32;
    const DROP: u8 = 64;

    fn encode(&self, w: &mut Writer) {
        let mut flags = 0;
        let mut flag = |set: bool, bit: u8| flags |= if set { bit } else { 0 };
        flag(self.create.is_some(), Record::CREATE);
        flag(self.hard_state.is_some(), Record::HARD_STATE);
        flag(self.reset.is_some(), Record::RESET);
        flag(self.entries.is_some(), Record::ENTRIES);
        flag(self.checkpoint.is_some(), Record::CHECKPOINT);
        flag(self.compact.is_some(), Record::COMPACT);
        flag(self.drop, Record::DROP);
        w.u8(flags);
        if let Some(replica) = self.create {
            w.varint(replica.0);
        }
        if let Some((term, vote)) = self.hard_state {
            encode_hard_state(w, term, vote);
        }
        if let Some(position) = self.reset {
            encode_position(w, position);
        }
        if let Some(entries) = &self.entries {
            w.varint(entries.first.0);
            w.varint(entries.runs.len() as u64);
            for (count, term) in &entries.runs {
                w.varint(u64::from(*count));
                w.varint(term.0);
            }
            for len in &entries.payload_bytes {
                w.varint(u64::from(*len));
            }
        }
        if let Some(position) = self.checkpoint {
            encode_position(w, position);
        }
        if let Some(position) = self.compact {
            encode_position(w, position);
        }
    }

    fn decode(r: &mut Reader) -> Result<Record, CodecError> {
        let start = r.error("record flags");
        let flags = r.u8("record flags")?;
        if flags & 128 != 0 {
            return Err(start);
        }
        let has = |bit: u8| flags & bit != 0;
        Ok(Record {
            create: if has(Record::CREATE) { Some(ReplicaId(r.varint("replica")?)) } else { None },
            hard_state: if has(Record::HARD_STATE) { Some(decode_hard_state(r)?) } else { None },
            reset: if has(Record::RESET) { Some(decode_position(r)?) } else { None },
            entries: if has(Record::ENTRIES) { Some(decode_entries(r)?) } else { None },
            checkpoint: if has(Record::CHECKPOINT) { Some(decode_position(r)?) } else { None },
            compact: if has(Record::COMPACT) { Some(decode_position(r)?) } else { None },
            drop: has(Record::DROP),
        })
    }
}

fn encode_hard_state(w: &mut Writer, term: Term, vote: Option<ReplicaId>) {
    w.varint(term.0);
    match vote {
        None => w.u8(0),
        Some(replica) => {
            w.u8(1);
            w.varint(replica.0);
        }
    }
}

fn decode_hard_state(r: &mut Reader) -> Result<(Term, Option<ReplicaId>), CodecError> {
    let term = Term(r.varint("term")?);
    let start = r.error("vote");
    let vote = match r.u8("vote")? {
        0 => None,
        1 => Some(ReplicaId(r.varint("vote")?)),
        _ => return Err(start),
    };
    Ok((term, vote))
}

fn encode_position(w: &mut Writer, (index, term): (LogIndex, Term)) {
    w.varint(index.0);
    w.varint(term.0);
}

fn decode_position(r: &mut Reader) -> Result<(LogIndex, Term), CodecError> {
    Ok((LogIndex(r.varint("index")?), Term(r.varint("term")?)))
}

fn decode_entries(r: &mut Reader) -> Result<EntryRange, CodecError> {
    let first = LogIndex(r.varint("first index")?);
    let run_count = r.count(2, "count of runs")?;
    let mut runs = Vec::with_capacity(run_count);
    let mut entry_count = 0usize;
    for _ in 0..run_count {
        let start = r.error("run");
        let count = r.count(1, "entries of a run")?;
        entry_count += count;
        let Some(count) = u32::try_from(count).ok().filter(|count| *count > 0) else { return Err(start) };
        runs.push((count, Term(r.varint("term of a run")?)));
    }
    // Indexes are added to without checks later on.
    if first.0 == 0 || first.0.checked_add(entry_count as u64).is_none() || entry_count > r.remaining() {
        return Err(r.error("entries"));
    }
    let mut payload_bytes = Vec::with_capacity(entry_count);
    for _ in 0..entry_count {
        let start = r.error("payload length");
        payload_bytes.push(u32::try_from(r.varint("payload length")?).map_err(|_| start)?);
    }
    Ok(EntryRange { first, runs, payload_bytes })
}

/// What a segment's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentBody {
    /// The oldest segment that is needed.
    pub floor: SegmentId,
    pub salt: u64,
    pub groups: Vec<(ShardId, GroupState)>,
}

impl SegmentBody {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.varint(self.floor.0);
        w.u64(self.salt);
        w.varint(self.groups.len() as u64);
        for (shard, state) in &self.groups {
            w.varint(shard.0);
            w.varint(state.replica.0);
            encode_hard_state(&mut w, state.term, state.vote);
            encode_position(&mut w, state.base);
            w.varint(state.last.0);
            encode_position(&mut w, state.checkpoint);
            w.varint(state.runs.len() as u64);
            for run in &state.runs {
                encode_position(&mut w, *run);
            }
        }
        w.into_vec()
    }

    pub fn decode(body: &[u8]) -> Result<SegmentBody, CodecError> {
        let mut r = Reader::new(body);
        let floor = SegmentId(r.varint("floor")?);
        let salt = r.u64("salt")?;
        let count = r.count(10, "count of groups")?;
        let mut groups = Vec::with_capacity(count);
        for _ in 0..count {
            let shard = ShardId(r.varint("shard")?);
            let replica = ReplicaId(r.varint("replica")?);
            let (term, vote) = decode_hard_state(&mut r)?;
            let base = decode_position(&mut r)?;
            let last = LogIndex(r.varint("last index")?);
            let checkpoint = decode_position(&mut r)?;
            let run_count = r.count(2, "count of runs")?;
            let mut runs = Vec::with_capacity(run_count);
            for _ in 0..run_count {
                runs.push(decode_position(&mut r)?);
            }
            if last < base.0 {
                return Err(r.error("bounds of a group"));
            }
            groups.push((shard, GroupState { replica, term, vote, base, runs, last, checkpoint }));
        }
        r.finish("end of the header")?;
        Ok(SegmentBody { floor, salt, groups })
    }
}

/// What a batch's directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchBody {
    /// The oldest segment that was needed before this batch.
    pub floor: SegmentId,
    pub records: Vec<(ShardId, Record)>,
}

impl BatchBody {
    /// Appends to `buf`, which is given back.
    pub fn encode(buf: Vec<u8>, floor: SegmentId, records: &[(ShardId, Record)]) -> Vec<u8> {
        let mut w = Writer::from_vec(buf);
        w.varint(floor.0);
        w.varint(records.len() as u64);
        for (shard, record) in records {
            w.varint(shard.0);
            record.encode(&mut w);
        }
        w.into_vec()
    }

    pub fn decode(body: &[u8]) -> Result<BatchBody, CodecError> {
        let mut r = Reader::new(body);
        let floor = SegmentId(r.varint("floor")?);
        let count = r.count(2, "count of groups")?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push((ShardId(r.varint("shard")?), Record::decode(&mut r)?));
        }
        r.finish("end of the directory")?;
        Ok(BatchBody { floor, records })
    }

    /// Sum of all frames, heads included.
    pub fn frames_bytes(&self) -> u64 {
        let ranges = self.records.iter().filter_map(|(_, record)| record.entries.as_ref());
        ranges.flat_map(|range| &range.payload_bytes).map(|len| u64::from(*len) + FRAME_HEAD_BYTES as u64).sum()
    }
}

/// Where a new batch goes.
pub(crate) struct Position {
    pub kind: Kind,
    pub segment: SegmentId,
    pub offset: u64,
    pub tag: u64,
    pub link: Link,
}

/// What is to be remembered of a batch that was encoded.
pub(crate) struct Encoded {
    pub digest: Digest,
    pub directory: Range<usize>,
    /// Where its first frame is, from the start of the batch.
    pub frames_at: usize,
}

/// Fills `buf` with one whole batch.
pub(crate) fn encode_batch(buf: &mut Vec<u8>, at: Position, body: &[u8], repeated: &[u8], batch: &Batch) -> Encoded {
    let payloads =
        || batch.groups.iter().flat_map(|(shard, change)| change.entries.iter().map(move |frame| (*shard, frame)));
    let mut head = Head {
        kind: at.kind,
        version: FORMAT_VERSION,
        blank_sectors: 0,
        body_bytes: u32::try_from(body.len()).expect("a directory is bounded by its batch"),
        repeated_bytes: u32::try_from(repeated.len()).expect("a directory is bounded by its batch"),
        frames_bytes: payloads().map(|(_, frame)| (frame.payload.len() + FRAME_HEAD_BYTES) as u64).sum(),
        segment: at.segment,
        offset: at.offset,
        tag: at.tag,
        link: at.link,
    };
    let extent = head.extent().expect("a batch is bounded");
    buf.clear();
    buf.reserve(extent);
    buf.extend_from_slice(&head.encode());
    buf.extend_from_slice(body);
    let checksum = directory_checksum(&buf[HASHED_FROM..]);
    buf.extend_from_slice(&checksum);
    buf.extend_from_slice(repeated);
    for (shard, frame) in payloads() {
        let crc = frame_crc(shard, frame.index, frame.term, &frame.payload);
        buf.extend_from_slice(&crc.to_le_bytes());
        buf.extend_from_slice(&frame.payload);
    }
    buf.resize(extent - DIGEST_BYTES, 0);
    let digest = *blake3::hash(&buf[HASHED_FROM..]).as_bytes();
    buf.extend_from_slice(&digest);
    head.blank_sectors = blank_sectors(buf);
    buf[..HEAD_BYTES].copy_from_slice(&head.encode());
    Encoded { digest, directory: 0..head.directory_bytes(), frames_at: head.frames_at() }
}

/// A directory as it stands on disk, or repeated: its head and body, if its checksum holds.
pub(crate) fn decode_directory(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let head = Head::decode(bytes)?;
    let checksum_at = HEAD_BYTES + head.body_bytes as usize;
    let checksum = bytes.get(checksum_at..checksum_at + CHECKSUM_BYTES)?;
    (directory_checksum(&bytes[HASHED_FROM..checksum_at]) == checksum).then(|| (head, &bytes[HEAD_BYTES..checksum_at]))
}

/// What the digest of a batch covers is `batch[HASHED_FROM..]` up to the digest itself.
pub(crate) fn digest_of(batch: &[u8]) -> Digest {
    *blake3::hash(&batch[HASHED_FROM..batch.len() - DIGEST_BYTES]).as_bytes()
}
