//! Segment files: their names, and how one is begun so that a crash leaves it whole or not there.

use std::sync::Arc;

use tenet_seam::{Disk, File, Open};

use crate::Batch;
use crate::error::{WalError, io};
use crate::format::{Digest, Kind, Link, Position, SegmentBody, SegmentId, encode_batch};
use crate::scan::tag_of;

/// Zeros are written this far ahead: overwriting them needs no new metadata, which makes a sync half again as fast
/// (measured; longer ones bring nothing, and each zero is a byte to write).
const RESERVE_BYTES: u64 = 64 * 1024;
const SUFFIX: &str = ".seg";
/// A segment that is not yet begun; removed at open.
const SUFFIX_NEW: &str = ".new";

pub(crate) fn path(dir: &str, id: SegmentId) -> String {
    format!("{dir}/{:020}{SUFFIX}", id.0)
}

/// What a name in the folder means to the log.
pub(crate) enum Name {
    Segment(SegmentId),
    Unfinished,
    Stranger,
}

pub(crate) fn parse_name(name: &str) -> Name {
    if name.ends_with(SUFFIX_NEW) {
        return Name::Unfinished;
    }
    let digits =
        name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(number) if number > 0 => Name::Segment(SegmentId(number)),
        _ => Name::Stranger,
    }
}

/// How long the file is made when a batch ends at `end`: at least that, and some zeros.
pub(crate) fn reserve(end: u64, segment_bytes: u64) -> u64 {
    end.next_multiple_of(RESERVE_BYTES).min(segment_bytes.next_multiple_of(tenet_seam::SECTOR_BYTES as u64)).max(end)
}

/// The segment that is written to, and what the next batch follows.
pub(crate) struct Head {
    pub id: SegmentId,
    pub path: String,
    pub file: Arc<dyn File>,
    pub tag: u64,
    /// Where the next batch goes.
    pub offset: u64,
    /// A batch other than the header is in it.
    pub begun: bool,
    /// The file's length.
    pub reserved: u64,
    pub link: Link,
    /// Directory of the last batch, to be repeated by the next.
    pub directory: Vec<u8>,
}

/// Writes a new segment's header and makes it durable, name included: written and synced under another name, then renamed, so
/// that a file with a segment's name always has a whole header.
pub(crate) fn begin(
    disk: &dyn Disk,
    dir: &str,
    id: SegmentId,
    body: &SegmentBody,
    link: Link,
    repeated: &[u8],
    segment_bytes: u64,
) -> Result<Head, WalError> {
    let target = path(dir, id);
    let source = format!("{dir}/{:020}{SUFFIX_NEW}", id.0);
    let position = Position { kind: Kind::Segment, segment: id, offset: 0, tag: 0, link };
    let mut buf = Vec::new();
    let encoded = encode_batch(&mut buf, position, &body.encode(), repeated, &Batch::default());
    let directory = buf[encoded.directory].to_vec();
    let offset = buf.len() as u64;
    let reserved = reserve(offset, segment_bytes);
    buf.resize(usize::try_from(reserved).expect("a header fits into memory"), 0);

    let file = disk.open(&source, Open::New).map_err(io("create", &source))?;
    file.write_at(0, &buf).map_err(io("write", &source))?;
    file.sync().map_err(io("sync", &source))?;
    disk.rename(&source, &target).map_err(io("rename", &source))?;
    disk.sync_dir(dir).map_err(io("sync folder", dir))?;
    let digest: Digest = encoded.digest;
    let link = Link { sequence: link.sequence.next(), previous: digest };
    Ok(Head { id, path: target, file, tag: tag_of(&digest), offset, begun: false, reserved, link, directory })
}
