//! The meta row: where in its shard's log a store stands.
//!
//! ```text
//! meta = format (1) · shard (varint) · applied index (varint) · applied term (varint) · timestamp (8) · catalog version (varint)
//!        · gc threshold (8) · state hash (32) · members (varint, 0: reserved) · dedupe watermarks (varint, 0: reserved) · crc32c (4)
//! ```
//! Every later format begins with its format byte and ends with the checksum of all before it.

use tenet_types::{CatalogVersion, CodecError, LogIndex, Reader, ShardId, Term, Timestamp, Writer};

/// Version of the meta row that this code writes.
pub const META_FORMAT: u8 = 1;

/// No commit gets there: wall clocks end at two thirds of it. Another one always fits after it.
const TIMESTAMP_MAX: Timestamp = Timestamp(3 << 62);

/// What a store has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub shard: ShardId,
    /// The last entry applied, and its term.
    pub applied: LogIndex,
    pub applied_term: Term,
    /// Of the last commit applied: a snapshot of everything so far.
    pub timestamp: Timestamp,
    /// The shard's copy of its tenant's catalog version.
    pub catalog: CatalogVersion,
    /// Reads below it are refused.
    pub gc_threshold: Timestamp,
    /// `blake3(previous · index · term · timestamp (8 each, little-endian) · entry)` over every entry applied; zeros before the first.
    pub state_hash: [u8; 32],
}

impl Meta {
    /// Of a shard that has applied nothing.
    pub fn new(shard: ShardId) -> Meta {
        Meta {
            shard,
            applied: LogIndex::ZERO,
            applied_term: Term::ZERO,
            timestamp: Timestamp::ZERO,
            catalog: CatalogVersion(0),
            gc_threshold: Timestamp::ZERO,
            state_hash: [0; 32],
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(96);
        w.u8(META_FORMAT);
        w.varint(self.shard.0);
        w.varint(self.applied.0);
        w.varint(self.applied_term.0);
        w.u64(self.timestamp.0);
        w.varint(self.catalog.0);
        w.u64(self.gc_threshold.0);
        w.raw(&self.state_hash);
        w.varint(0); // members, reserved
        w.varint(0); // dedupe watermarks, reserved
        let crc = crc32c::crc32c(w.as_slice());
        w.u32(crc);
        w.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Meta, CodecError> {
        let mut r = Reader::new(checked(bytes)?);
        if r.u8("meta format")? != META_FORMAT {
            return Err(CodecError { what: "meta format", offset: 0 });
        }
        let meta = Meta {
            shard: ShardId(r.varint("shard")?),
            applied: LogIndex(r.counter("applied index")?),
            applied_term: Term(r.counter("applied term")?),
            timestamp: take_timestamp(&mut r)?,
            catalog: CatalogVersion(r.counter("catalog version")?),
            gc_threshold: Timestamp(r.u64("gc threshold")?),
            state_hash: r.raw(32, "state hash")?.try_into().expect("32 bytes were asked for"),
        };
        for reserved in ["members", "dedupe watermarks"] {
            if r.varint(reserved)? != 0 {
                return Err(r.error(reserved));
            }
        }
        r.finish("meta")?;
        Ok(meta)
    }

    /// The format of an intact row, known or not.
    pub(crate) fn format(bytes: &[u8]) -> Result<u8, CodecError> {
        Reader::new(checked(bytes)?).u8("meta format")
    }
}

/// One after which there are others.
fn take_timestamp(r: &mut Reader<'_>) -> Result<Timestamp, CodecError> {
    let start = r.error("timestamp");
    Some(Timestamp(r.u64("timestamp")?)).filter(|timestamp| *timestamp <= TIMESTAMP_MAX).ok_or(start)
}

/// The row without its checksum, which must match.
fn checked(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let short = CodecError { what: "meta row", offset: 0 };
    let (body, crc) = bytes.split_at_checked(bytes.len().wrapping_sub(4)).ok_or(short)?;
    if crc32c::crc32c(body).to_le_bytes() != crc {
        return Err(CodecError { what: "meta checksum", offset: body.len() });
    }
    Ok(body)
}
