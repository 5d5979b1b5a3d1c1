//! Reading one segment: which batches it holds, where it ends, and whether what follows is torn or rotten.
//!
//! ```text
//!            batch whole? ──yes──▶ next
//!                 │no
//!     nothing but zeros from here? ──yes──▶ the end
//!                 │no
//!     a later segment, or a later batch's head further on? ──yes──▶ damaged (it was acknowledged)
//!                 │no
//!     first sector blank? ──yes──▶ torn: cut
//!                 │no
//!     its head whole? ──no──▶ damaged (a torn write leaves a sector old or new)
//!                 │yes
//!     bytes beyond it? ──yes──▶ damaged        more sectors blank than it was written with? ──yes──▶ torn: cut
//!                                                                                          ──no──▶ damaged
//! ```

use std::ops::Range;

use tenet_seam::SECTOR_BYTES;
use tenet_types::{LogIndex, ShardId, Term, mark};

use crate::error::{REMEDY, WalError};
use crate::format::{
    BatchBody, DIGEST_BYTES, Digest, FORMAT_VERSION, FRAME_HEAD_BYTES, Head, Kind, Link, SegmentBody, SegmentId,
    Sequence, blank_sectors, decode_directory, digest_of, frame_crc, is_blank,
};

/// A whole and verified batch.
pub(crate) struct Parsed<B> {
    pub sequence: Sequence,
    /// In the file.
    pub range: Range<usize>,
    pub digest: Digest,
    pub body: B,
    /// Where its first frame is, in the file.
    pub frames_at: u64,
    pub directory: Range<usize>,
}

/// What a segment holds.
pub(crate) struct Scan {
    pub id: SegmentId,
    pub header: Parsed<SegmentBody>,
    pub tag: u64,
    pub batches: Vec<Parsed<BatchBody>>,
    /// Where the next batch goes.
    pub end: usize,
    /// Bytes from `end` on that a torn write left; 0 if there are only zeros.
    pub torn_bytes: usize,
}

impl Scan {
    /// The last batch, or the header when there is none.
    pub fn tail(&self) -> Parsed<()> {
        match self.batches.last() {
            Some(batch) => batch.clone_without_body(),
            None => self.header.clone_without_body(),
        }
    }
}

/// A segment's bytes and where they came from.
pub(crate) struct Segment<'a> {
    pub id: SegmentId,
    pub path: &'a str,
    pub bytes: &'a [u8],
}

/// What the next batch must look like.
struct Expected {
    sequence: Sequence,
    previous: Digest,
    tag: u64,
}

/// Why there is no batch: what is wrong and where in the file.
struct Fault {
    what: String,
    offset: usize,
}

impl Segment<'_> {
    /// Which batch this segment follows, by its header.
    pub fn link(&self) -> Result<Link, WalError> {
        Ok(self.header()?.1)
    }

    /// Reads everything. `next` is what the next segment's header says it follows; `None` for the last segment.
    pub fn scan(&self, next: Option<Link>) -> Result<Scan, WalError> {
        if !self.bytes.len().is_multiple_of(SECTOR_BYTES) {
            return Err(self.damaged("a length that is not whole sectors".to_string(), self.bytes.len()));
        }
        let (header, _) = self.header()?;
        let tag = tag_of(&header.digest);
        let mut expected = Expected { sequence: header.sequence.next(), previous: header.digest, tag };
        let mut batches: Vec<Parsed<BatchBody>> = Vec::new();
        let mut end = header.range.end;
        let fault = loop {
            if end == self.bytes.len() {
                break None;
            }
            match self.batch(end, &expected)? {
                Ok(batch) => {
                    end = batch.range.end;
                    expected = Expected { sequence: batch.sequence.next(), previous: batch.digest, tag };
                    batches.push(batch);
                }
                Err(_) if is_blank(&self.bytes[end..]) => break None,
                Err(fault) => break Some(fault),
            }
        };
        let torn_bytes = match (fault, next) {
            (None, None) => 0,
            (None, Some(next)) if next.sequence == expected.sequence && next.previous == expected.previous => 0,
            (None, Some(next)) => {
                let missing =
                    format!("batches {} to {} are missing", expected.sequence.0, next.sequence.0.saturating_sub(1));
                return Err(self.damaged(missing, end));
            }
            (Some(fault), Some(_)) => {
                let offset = fault.offset;
                return Err(self.damaged(self.explain(fault, end, &expected), offset));
            }
            (Some(fault), None) => {
                self.require_torn(end, &expected, fault)?;
                mark!("wal: torn batch found");
                self.bytes.len() - end
            }
        };
        Ok(Scan { id: self.id, header, tag, batches, end, torn_bytes })
    }

    fn header(&self) -> Result<(Parsed<SegmentBody>, Link), WalError> {
        let fault = |fault: Fault| self.damaged(fault.what, fault.offset);
        let bad = |what: &str| self.damaged(format!("the segment's header: {what}"), 0);
        let head = Head::decode(self.bytes).ok_or_else(|| bad("no valid head"))?;
        self.check_version(&head)?;
        if head.kind != Kind::Segment || head.segment != self.id || head.offset != 0 {
            return Err(bad("it belongs elsewhere"));
        }
        let parsed = self.contents(0, &head).map_err(fault)?;
        let body = SegmentBody::decode(&self.bytes[parsed.body.clone()]).map_err(|error| bad(&error.to_string()))?;
        Ok((parsed.with(body), head.link))
    }

    /// A fault if there is no whole batch as expected; an error if there is one of another version.
    fn batch(&self, at: usize, expected: &Expected) -> Result<Result<Parsed<BatchBody>, Fault>, WalError> {
        let fault = |what: &str| Ok(Err(Fault { what: format!("batch {}: {what}", expected.sequence.0), offset: at }));
        let Some(head) = Head::decode(&self.bytes[at..]) else { return fault("no valid head") };
        self.check_version(&head)?;
        if !self.owns(&head, at, expected)
            || head.link != (Link { sequence: expected.sequence, previous: expected.previous })
        {
            return fault("it belongs elsewhere");
        }
        let parsed = match self.contents(at, &head) {
            Ok(parsed) => parsed,
            Err(fault) => return Ok(Err(fault)),
        };
        let body = match BatchBody::decode(&self.bytes[parsed.body.clone()]) {
            Ok(body) => body,
            Err(error) => return fault(&error.to_string()),
        };
        if body.frames_bytes() != head.frames_bytes {
            return fault("its directory and its length disagree");
        }
        Ok(Ok(parsed.with(body)))
    }

    fn owns(&self, head: &Head, at: usize, expected: &Expected) -> bool {
        head.kind == Kind::Batch && head.segment == self.id && head.offset == at as u64 && head.tag == expected.tag
    }

    /// Verifies checksum and digest; `body` is where the body lies.
    fn contents(&self, at: usize, head: &Head) -> Result<Parsed<Range<usize>>, Fault> {
        let sequence = head.link.sequence;
        let fault = |what: &str| Fault { what: format!("batch {}: {what}", sequence.0), offset: at };
        let end = head.extent().and_then(|extent| at.checked_add(extent)).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| fault("the file ends inside it"))?;
        let batch = &self.bytes[at..end];
        if digest_of(batch) != batch[batch.len() - DIGEST_BYTES..] {
            return Err(self.locate(at, head).unwrap_or_else(|| fault("its digest does not match")));
        }
        if decode_directory(batch).is_none() {
            return Err(fault("its directory does not match its checksum"));
        }
        let body_at = at + crate::format::HEAD_BYTES;
        Ok(Parsed {
            sequence,
            range: at..end,
            digest: batch[batch.len() - DIGEST_BYTES..].try_into().expect("a slice of that length"),
            body: body_at..body_at + head.body_bytes as usize,
            frames_at: (at + head.frames_at()) as u64,
            directory: at..at + head.directory_bytes(),
        })
    }

    /// Which part of a batch with a wrong digest is wrong, for the message.
    fn locate(&self, at: usize, head: &Head) -> Option<Fault> {
        let sequence = head.link.sequence.0;
        let Some((_, body)) = decode_directory(&self.bytes[at..]) else {
            return Some(Fault { what: format!("batch {sequence}: its directory"), offset: at });
        };
        let body = BatchBody::decode(body).ok()?;
        let mut frame_at = at + head.frames_at();
        for (shard, index, term, len) in entries_of(&body) {
            let payload_at = frame_at + FRAME_HEAD_BYTES;
            let payload = self.bytes.get(payload_at..payload_at + len as usize)?;
            if frame_crc(shard, index, term, payload).to_le_bytes() != self.bytes[frame_at..payload_at] {
                let what = format!("batch {sequence}: the payload of entry {index} ({term}) of {shard}");
                return Some(Fault { what, offset: frame_at });
            }
            frame_at = payload_at + len as usize;
        }
        None
    }

    /// The faulty batch at `at` was provably never acknowledged, or this is damage.
    fn require_torn(&self, at: usize, expected: &Expected, fault: Fault) -> Result<(), WalError> {
        let refuse = |why: &str| {
            let what = format!("{} ({why})", self.explain(Fault { what: fault.what.clone(), ..fault }, at, expected));
            Err(self.damaged(what, fault.offset))
        };
        if self.later_head(at, expected).is_some() {
            return refuse("a later batch follows, so it was acknowledged");
        }
        let rest = &self.bytes[at..];
        if is_blank(&rest[..SECTOR_BYTES]) {
            return Ok(());
        }
        let Some(head) = Head::decode(rest).filter(|head| self.owns(head, at, expected)) else {
            return refuse("its first sector is there but wrong, so it is not torn");
        };
        let extent = head.extent().unwrap_or(usize::MAX);
        let there = &rest[..extent.min(rest.len())];
        if !is_blank(&rest[there.len()..]) {
            return refuse("something was written after it, so it was acknowledged");
        }
        let missing_sectors = (extent - there.len()) / SECTOR_BYTES;
        if missing_sectors == 0 && blank_sectors(there) <= head.blank_sectors {
            return refuse("none of its sectors is missing, so it is not torn");
        }
        Ok(())
    }

    /// The head of a batch after the expected one: it was begun, so all before it were acknowledged (W1).
    fn later_head(&self, at: usize, expected: &Expected) -> Option<(usize, Head)> {
        let sectors = (at + SECTOR_BYTES..self.bytes.len()).step_by(SECTOR_BYTES);
        let heads = sectors.filter_map(|at| Head::decode(&self.bytes[at..]).map(|head| (at, head)));
        heads.into_iter().find(|(at, head)| self.owns(head, *at, expected) && head.link.sequence > expected.sequence)
    }

    /// Adds whom the damage concerns, as far as the next batch's copy of the directory tells.
    fn explain(&self, fault: Fault, at: usize, expected: &Expected) -> String {
        let copy = self.later_head(at, expected).filter(|(_, head)| head.link.sequence == expected.sequence.next());
        let directory = copy.and_then(|(at, head)| {
            let (_, body) = decode_directory(self.bytes.get(at + head.directory_bytes()..)?)?;
            BatchBody::decode(body).ok()
        });
        match directory {
            None => fault.what,
            Some(body) => {
                let owners: Vec<String> = body.records.iter().map(|(shard, _)| shard.to_string()).collect();
                format!("{}; by the copy of its directory it concerns {}", fault.what, owners.join(", "))
            }
        }
    }

    fn check_version(&self, head: &Head) -> Result<(), WalError> {
        if head.version == FORMAT_VERSION {
            return Ok(());
        }
        Err(WalError::Version { path: self.path.to_string(), found: head.version, known: FORMAT_VERSION })
    }

    fn damaged(&self, what: String, offset: usize) -> WalError {
        mark!("wal: damage found");
        WalError::Damaged { what, path: self.path.to_string(), offset: offset as u64, remedy: REMEDY }
    }
}

impl<B> Parsed<B> {
    fn clone_without_body(&self) -> Parsed<()> {
        Parsed {
            sequence: self.sequence,
            range: self.range.clone(),
            digest: self.digest,
            body: (),
            frames_at: self.frames_at,
            directory: self.directory.clone(),
        }
    }
}

impl Parsed<Range<usize>> {
    fn with<B>(self, body: B) -> Parsed<B> {
        let Parsed { sequence, range, digest, body: _, frames_at, directory } = self;
        Parsed { sequence, range, digest, body, frames_at, directory }
    }
}

/// The tag by which the batches of a segment are known.
pub(crate) fn tag_of(header: &Digest) -> u64 {
    u64::from_le_bytes(header[..8].try_into().expect("a digest is longer"))
}

/// Shard, index, term and payload length of every entry, in the order of the frames.
fn entries_of(body: &BatchBody) -> impl Iterator<Item = (ShardId, LogIndex, Term, u32)> + '_ {
    body.records.iter().flat_map(|(shard, record)| {
        let entries = record.entries.iter().flat_map(|entries| entries.iter());
        entries.map(move |(index, term, len)| (*shard, index, term, len))
    })
}
