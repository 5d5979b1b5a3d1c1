//! Appending and reading.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use tenet_seam::{Disk, File};
use tenet_types::{LogIndex, ShardId, Term, mark};

use crate::error::{REMEDY, WalError, io};
use crate::format::{
    BatchBody, FRAME_HEAD_BYTES, Kind, Link, Position, SegmentBody, SegmentId, encode_batch, extent, frame_crc,
};
use crate::group::{GroupState, Place, Slot};
use crate::index::{Index, SegmentFile};
use crate::segment::{self, Head};
use crate::{BATCH_BYTES_MAX, Batch, Frame, WalOptions, WalStats, recover};

/// A buffer that one large batch made longer than this is given back.
const BUFFER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The log. Share it as `Arc<Wal>`: appends go one after another, reads beside them.
pub struct Wal {
    disk: Arc<dyn Disk>,
    dir: String,
    options: WalOptions,
    /// Held over write and sync. Taken before `index`.
    writer: Mutex<Writer>,
    /// Held for moments only. Changed only by who holds `writer`.
    index: Mutex<Index>,
}

struct Writer {
    /// W7. Set while a write is under way, so that a panic in it counts too.
    poisoned: bool,
    head: Head,
    buf: Vec<u8>,
    body: Vec<u8>,
}

impl Wal {
    /// Opens the log in `dir`, which is made if it is not there. Cuts a torn batch at the end (see the crate's head), removes
    /// what is not needed, refuses any other damage.
    pub fn open(disk: Arc<dyn Disk>, dir: &str, options: WalOptions) -> Result<Wal, WalError> {
        let recovered = recover::open(&*disk, dir, &options)?;
        let wal = Wal {
            disk,
            dir: dir.to_string(),
            options,
            writer: Mutex::new(Writer { poisoned: false, head: recovered.head, buf: Vec::new(), body: Vec::new() }),
            index: Mutex::new(recovered.index),
        };
        if recovered.unproven {
            wal.seal()?;
        }
        Ok(wal)
    }

    pub fn groups(&self) -> Vec<ShardId> {
        self.index().groups.keys().copied().collect()
    }

    pub fn group(&self, shard: ShardId) -> Option<GroupState> {
        self.index().groups.get(&shard).map(|group| group.state.clone())
    }

    /// The groups that still need entries of the oldest segment, if at least so many came after it: compact them to free it.
    pub fn pinning(&self, segments_after: usize) -> Vec<ShardId> {
        let index = self.index();
        let after = |floor: &SegmentId| index.segments.range(*floor..).count() - 1;
        let Some(floor) = index.floor().filter(|floor| after(floor) >= segments_after.max(1)) else {
            return Vec::new();
        };
        let pinning = index.groups.iter().filter(|(_, group)| group.oldest() == Some(floor));
        pinning.map(|(shard, _)| *shard).collect()
    }

    pub fn stats(&self) -> WalStats {
        self.index().stats()
    }

    /// Proves the last batch acknowledged, so that damage to it will not be taken for a torn write. At a clean stop.
    pub fn seal(&self) -> Result<(), WalError> {
        self.append(Batch::default())
    }

    /// Makes a whole batch durable, by one write and one sync. When it returns an error that is about the disk, nothing of the
    /// batch may be taken for durable, and nothing for not durable, until the log is opened again.
    pub fn append(&self, batch: Batch) -> Result<(), WalError> {
        let mut writer = self.writer.lock().expect("a panic here ends the process");
        if writer.poisoned {
            return Err(WalError::Poisoned);
        }
        let (plan, floor) = {
            let index = self.index();
            (index.plan(&batch)?, index.floor())
        };
        let payloads = batch.groups.iter().flat_map(|(_, change)| &change.entries);
        let frames_bytes: u64 = payloads.map(|frame| (frame.payload.len() + FRAME_HEAD_BYTES) as u64).sum();
        if frames_bytes > BATCH_BYTES_MAX {
            return Err(WalError::TooLarge { bytes: frames_bytes, bytes_max: BATCH_BYTES_MAX });
        }

        writer.poisoned = true;
        let floor = floor.unwrap_or(writer.head.id);
        let mut body = std::mem::take(&mut writer.body);
        body.clear();
        let body = BatchBody::encode(body, floor, &plan.records);
        let bytes = extent(body.len(), writer.head.directory.len(), frames_bytes).expect("bounded above") as u64;
        if writer.head.begun && writer.head.offset + bytes > self.options.segment_bytes {
            self.roll(&mut writer)?;
        }
        let frames_at = self.write(&mut writer, &body, &batch)?;
        let slots = place_frames(&batch, writer.head.id, frames_at);
        {
            let mut index = self.index();
            let segment = index.segments.get_mut(&writer.head.id).expect("the current segment is kept");
            segment.bytes = writer.head.reserved;
            index.stats.batches += 1;
            index.stats.syncs += 1;
            index.commit(plan, slots);
        }
        self.free(floor);
        writer.body = body;
        writer.poisoned = false;
        Ok(())
    }

    /// One positioned write, one sync. Returns where the frames are.
    fn write(&self, writer: &mut Writer, body: &[u8], batch: &Batch) -> Result<u64, WalError> {
        let Writer { head, buf, .. } = writer;
        let position =
            Position { kind: Kind::Batch, segment: head.id, offset: head.offset, tag: head.tag, link: head.link };
        let encoded = encode_batch(buf, position, body, &head.directory, batch);
        let frames_at = head.offset + encoded.frames_at as u64;
        let end = head.offset + buf.len() as u64;
        head.directory.clear();
        head.directory.extend_from_slice(&buf[encoded.directory]);
        if end > head.reserved {
            head.reserved = segment::reserve(end, self.options.segment_bytes);
            buf.resize(usize::try_from(head.reserved - head.offset).expect("a batch fits into memory"), 0);
        }
        head.file.write_at(head.offset, buf).map_err(io("write", &head.path))?;
        head.file.sync().map_err(io("sync", &head.path))?;
        head.offset = end;
        head.begun = true;
        head.link = Link { sequence: head.link.sequence.next(), previous: encoded.digest };
        if buf.capacity() > BUFFER_BYTES_MAX {
            *buf = Vec::new();
        }
        Ok(frames_at)
    }

    /// Begins the next segment.
    fn roll(&self, writer: &mut Writer) -> Result<(), WalError> {
        let id = writer.head.id.next();
        let body = {
            let index = self.index();
            SegmentBody { floor: index.floor().unwrap_or(id), salt: self.options.salt, groups: index.states() }
        };
        let (link, directory) = (writer.head.link, &writer.head.directory);
        let head = segment::begin(&*self.disk, &self.dir, id, &body, link, directory, self.options.segment_bytes)?;
        let file = SegmentFile { path: head.path.clone(), file: head.file.clone(), bytes: head.reserved };
        let mut index = self.index();
        index.segments.insert(id, file);
        index.stats.syncs += 1;
        writer.head = head;
        Ok(())
    }

    /// Removes the segments before `floor`, of which a durable batch says that they are not needed. One that cannot be
    /// removed stays for the next time: it harms nobody.
    fn free(&self, floor: SegmentId) {
        let freed: Vec<(SegmentId, String)> =
            self.index().segments.range(..floor).map(|(id, segment)| (*id, segment.path.clone())).collect();
        for (id, path) in freed {
            let removed = match self.disk.remove(&path) {
                // An earlier try failed and had its effect.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                other => other,
            };
            let mut index = self.index();
            if removed.is_ok() {
                mark!("wal: segment freed");
                index.segments.remove(&id);
                index.stats.segments_freed += 1;
            } else {
                index.stats.frees_failed += 1;
            }
        }
    }

    /// Entries `first..=last`, at most `bytes_max` of payload but at least one entry. Each is checked as it leaves the disk.
    pub fn read(
        &self,
        shard: ShardId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
    ) -> Result<Vec<Frame>, WalError> {
        let (mut found, files) = self.find(shard, first, last, bytes_max)?;
        let mut disk_reads = 0;
        let mut at = 0;
        while at < found.len() {
            let count = adjacent(&found[at..]);
            if count > 0 {
                let segment = files.iter().find(|(id, _, _)| *id == found[at].place.segment).expect("find gave it");
                read_frames(shard, &mut found[at..at + count], &segment.1, &segment.2)?;
                disk_reads += count as u64;
            }
            at += count.max(1);
        }
        let mut index = self.index();
        index.stats.disk_reads += disk_reads;
        index.stats.cache_reads += found.len() as u64 - disk_reads;
        let frames = found.into_iter().map(|found| Frame {
            index: found.index,
            term: found.term,
            payload: found.payload.expect("cached, or read just now"),
        });
        Ok(frames.collect())
    }

    /// Looks the entries up, and the files they are in.
    fn find(
        &self,
        shard: ShardId,
        first: LogIndex,
        last: LogIndex,
        bytes_max: usize,
    ) -> Result<(Vec<Found>, Vec<(SegmentId, String, Arc<dyn File>)>), WalError> {
        let index = self.index();
        let group = index.groups.get(&shard).ok_or(WalError::NoGroup { shard })?;
        let mut found = Vec::new();
        let mut files: Vec<(SegmentId, String, Arc<dyn File>)> = Vec::new();
        let mut bytes = 0usize;
        for at in (first.0..=last.0).map(LogIndex) {
            let slot = group.slot(at).ok_or(WalError::Missing { shard, index: at })?;
            bytes = bytes.saturating_add(slot.place.payload_bytes as usize);
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            let term = group.state.term_at(at).expect("an entry that has a slot has a term");
            found.push(Found { index: at, term, place: slot.place, payload: slot.cached.clone() });
            let id = slot.place.segment;
            if slot.cached.is_none() && files.last().is_none_or(|(last, _, _)| *last != id) {
                let segment = index.segments.get(&id).expect("a segment with an entry in it is kept");
                files.push((id, segment.path.clone(), segment.file.clone()));
            }
        }
        Ok((found, files))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().expect("a panic here ends the process")
    }
}

/// An entry on its way to the reader.
struct Found {
    index: LogIndex,
    term: Term,
    place: Place,
    payload: Option<Arc<[u8]>>,
}

fn frame_range(place: Place) -> Range<u64> {
    place.offset..place.offset + FRAME_HEAD_BYTES as u64 + u64::from(place.payload_bytes)
}

/// How many of these, from the first on, are on disk and lie side by side.
fn adjacent(found: &[Found]) -> usize {
    let mut end = None;
    let joins = |found: &&Found| {
        let range = frame_range(found.place);
        let key = (found.place.segment, range.start);
        let joined = found.payload.is_none() && end.is_none_or(|end| end == key);
        end = Some((found.place.segment, range.end));
        joined
    };
    found.iter().take_while(joins).count()
}

/// Fills in payloads that lie side by side, by one read.
fn read_frames(shard: ShardId, found: &mut [Found], path: &str, file: &Arc<dyn File>) -> Result<(), WalError> {
    let start = found[0].place.offset;
    let end = frame_range(found[found.len() - 1].place).end;
    let mut bytes = vec![0; usize::try_from(end - start).expect("a batch fits into memory")];
    file.read_at(start, &mut bytes).map_err(io("read", path))?;
    for entry in found {
        let range = frame_range(entry.place);
        let at = usize::try_from(range.start - start).expect("within the buffer");
        let (crc, payload) = bytes[at..at + (range.end - range.start) as usize].split_at(FRAME_HEAD_BYTES);
        if crc != frame_crc(shard, entry.index, entry.term, payload).to_le_bytes() {
            mark!("wal: damaged payload read");
            return Err(WalError::Damaged {
                what: format!("the payload of entry {} ({}) of {shard}", entry.index, entry.term),
                path: path.to_string(),
                offset: range.start,
                remedy: REMEDY,
            });
        }
        entry.payload = Some(payload.into());
    }
    Ok(())
}

/// Where each entry of a batch went, with its payload for the cache.
fn place_frames(batch: &Batch, segment: SegmentId, frames_at: u64) -> Vec<Vec<Slot>> {
    let mut offset = frames_at;
    let mut slot = |frame: &Frame| {
        let payload_bytes = u32::try_from(frame.payload.len()).expect("checked by its record");
        let place = Place { segment, offset, payload_bytes };
        offset = frame_range(place).end;
        Slot { place, cached: Some(frame.payload.clone()) }
    };
    batch.groups.iter().map(|(_, change)| change.entries.iter().map(&mut slot).collect()).collect()
}

#[cfg(test)]
mod tests;
