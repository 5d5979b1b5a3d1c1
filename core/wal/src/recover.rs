//! Opening the log: what is there, what is needed, what is torn, what is damaged.
//!
//! Order matters, because a crash may come anywhere in here too: nothing is changed before everything was read and found
//! good; then the torn bytes are cut (durably, so that no stale byte ever lies after the end, W5); then segments below the
//! floor go; then the last batch is written once more and synced (W6: it may be known only to the machine's cache, and after
//! a failed sync of the previous process no later sync would save it).

use std::collections::BTreeSet;
use std::sync::Arc;

use tenet_seam::{Disk, File, Open, SECTOR_BYTES};
use tenet_types::mark;

use crate::WalOptions;
use crate::error::{REMEDY, WalError, io};
use crate::format::{DIGEST_BYTES, FRAME_HEAD_BYTES, Link, Record, SegmentBody, SegmentId, Sequence};
use crate::group::{Place, Slot};
use crate::index::{Index, SegmentFile};
use crate::scan::{Scan, Segment};
use crate::segment::{self, Head, Name};

pub(crate) struct Recovered {
    pub head: Head,
    pub index: Index,
    /// The last batch says something, and nothing proves yet that it was acknowledged.
    pub unproven: bool,
}

/// A segment as it was read.
struct Loaded {
    id: SegmentId,
    path: String,
    file: Arc<dyn File>,
    bytes: Vec<u8>,
}

impl Loaded {
    fn segment(&self) -> Segment<'_> {
        Segment { id: self.id, path: &self.path, bytes: &self.bytes }
    }
}

pub(crate) fn open(disk: &dyn Disk, dir: &str, options: &WalOptions) -> Result<Recovered, WalError> {
    make_folder(disk, dir)?;
    let ids = list(disk, dir)?;
    let Some(last) = ids.last() else { return begin(disk, dir, options) };
    let mut last = load(disk, dir, *last)?;
    // A write that a full disk cut short may end inside a sector. It failed, so what it was part of was never acknowledged.
    let ragged_bytes = last.bytes.len() % SECTOR_BYTES;
    last.bytes.truncate(last.bytes.len() - ragged_bytes);
    let last_scan = last.segment().scan(None)?;
    let floor = last_scan.batches.last().map_or(last_scan.header.body.floor, |batch| batch.body.floor);
    require_segments(dir, &ids, floor, last.id)?;

    let mut index = Index::new(options.cache_bytes);
    let mut id = floor;
    let mut next = if id < last.id { Some(load(disk, dir, id)?) } else { None };
    while let Some(current) = next {
        id = id.next();
        next = if id < last.id { Some(load(disk, dir, id)?) } else { None };
        let follower = next.as_ref().unwrap_or(&last).segment().link()?;
        let scan = current.segment().scan(Some(follower))?;
        replay(&mut index, scan, &current)?;
    }
    let tail = last_scan.tail();
    let end = last_scan.end;
    let torn_bytes = last_scan.torn_bytes;
    let begun = !last_scan.batches.is_empty();
    let unproven = last_scan.batches.last().is_some_and(|batch| !batch.body.records.is_empty());
    let tag = last_scan.tag;
    replay(&mut index, last_scan, &last)?;
    require_entries(&index, &last)?;

    // Everything is read and good; from here on the disk is changed.
    let Loaded { id, path, file, bytes } = last;
    let mut reserved = bytes.len() as u64;
    if ragged_bytes > 0 {
        mark!("wal: half a sector cut");
    }
    if torn_bytes > 0 {
        mark!("wal: torn batch cut");
        reserved = end as u64;
    }
    if torn_bytes + ragged_bytes > 0 {
        file.set_len(reserved).map_err(io("cut", &path))?;
        file.sync().map_err(io("sync", &path))?;
        index.stats.cut_bytes = (torn_bytes + ragged_bytes) as u64;
    }
    file.write_at(tail.range.start as u64, &bytes[tail.range.clone()]).map_err(io("write", &path))?;
    file.sync().map_err(io("sync", &path))?;
    for id in ids.into_iter().filter(|id| *id < floor) {
        let path = segment::path(dir, id);
        disk.remove(&path).map_err(io("remove", &path))?;
    }
    disk.sync_dir(dir).map_err(io("sync folder", dir))?;

    let last_file = index.segments.get_mut(&id).expect("the last segment was replayed");
    last_file.bytes = reserved;
    let head = Head {
        id,
        path,
        file,
        tag,
        offset: end as u64,
        begun,
        reserved,
        link: Link { sequence: tail.sequence.next(), previous: tail.digest },
        directory: bytes[tail.directory].to_vec(),
    };
    Ok(Recovered { head, index, unproven })
}

/// The folder holds no segment: a new log.
fn begin(disk: &dyn Disk, dir: &str, options: &WalOptions) -> Result<Recovered, WalError> {
    let id = SegmentId(1);
    let body = SegmentBody { floor: id, salt: options.salt, groups: Vec::new() };
    let link = Link { sequence: Sequence(1), previous: [0; DIGEST_BYTES] };
    let head = segment::begin(disk, dir, id, &body, link, &[], options.segment_bytes)?;
    let mut index = Index::new(options.cache_bytes);
    let file = SegmentFile { path: head.path.clone(), file: head.file.clone(), bytes: head.reserved };
    index.segments.insert(id, file);
    Ok(Recovered { head, index, unproven: false })
}

/// Makes the folder if need be, and its name durable in any case: an earlier attempt may have ended between the two.
fn make_folder(disk: &dyn Disk, dir: &str) -> Result<(), WalError> {
    disk.create_dir(dir).map_err(io("create folder", dir))?;
    let mut path = dir;
    while !path.is_empty() {
        path = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        disk.sync_dir(path).map_err(io("sync folder", path))?;
    }
    Ok(())
}

/// The segments in the folder, ascending. What a crash left of one that was being begun is removed.
fn list(disk: &dyn Disk, dir: &str) -> Result<BTreeSet<SegmentId>, WalError> {
    let mut ids = BTreeSet::new();
    for name in disk.list(dir).map_err(io("list", dir))? {
        match segment::parse_name(&name) {
            Name::Segment(id) => {
                ids.insert(id);
            }
            Name::Unfinished => {
                mark!("wal: unfinished segment removed");
                let path = format!("{dir}/{name}");
                disk.remove(&path).map_err(io("remove", &path))?;
            }
            Name::Stranger => {}
        }
    }
    Ok(ids)
}

fn load(disk: &dyn Disk, dir: &str, id: SegmentId) -> Result<Loaded, WalError> {
    let path = segment::path(dir, id);
    let file = disk.open(&path, Open::Existing).map_err(io("open", &path))?;
    let len = file.len().map_err(io("read", &path))?;
    let Ok(len) = usize::try_from(len) else {
        let what = "a length beyond memory".to_string();
        return Err(WalError::Damaged { what, path, offset: len, remedy: REMEDY });
    };
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes).map_err(io("read", &path))?;
    Ok(Loaded { id, path, file, bytes })
}

fn require_segments(dir: &str, ids: &BTreeSet<SegmentId>, floor: SegmentId, last: SegmentId) -> Result<(), WalError> {
    let missing = (floor.0..=last.0).map(SegmentId).find(|id| !ids.contains(id));
    if floor > last || floor == SegmentId::NONE {
        let what = format!("segment {} is said to be the oldest one needed", floor.0);
        return Err(WalError::Damaged { what, path: segment::path(dir, last), offset: 0, remedy: REMEDY });
    }
    match missing {
        None => Ok(()),
        Some(id) => Err(WalError::Damaged {
            what: format!("segment {} is missing; segments {} to {} are needed", id.0, floor.0, last.0),
            path: segment::path(dir, id),
            offset: 0,
            remedy: REMEDY,
        }),
    }
}

/// Takes on one segment's header and batches.
fn replay(index: &mut Index, scan: Scan, from: &Loaded) -> Result<(), WalError> {
    let damaged =
        |what: String, offset: u64| WalError::Damaged { what, path: from.path.clone(), offset, remedy: REMEDY };
    if index.segments.is_empty() {
        for (shard, state) in scan.header.body.groups {
            if !state.is_consistent() || index.groups.contains_key(&shard) {
                return Err(damaged(format!("the segment's header: the bounds of {shard}"), 0));
            }
            index.insert(shard, state);
        }
    } else if index.states() != scan.header.body.groups {
        return Err(damaged("the segment's header: it contradicts the segments before".to_string(), 0));
    }
    for batch in scan.batches {
        let offset = batch.range.start as u64;
        let mut frame_at = batch.frames_at;
        for (shard, record) in batch.body.records {
            let outcome = index.outcome(shard, &record).map_err(|error| {
                damaged(format!("batch {}: it contradicts those before: {error}", batch.sequence.0), offset)
            })?;
            let slots = place_entries(&record, scan.id, &mut frame_at);
            index.commit_one(shard, &record, outcome, slots);
        }
    }
    let file = SegmentFile { path: from.path.clone(), file: from.file.clone(), bytes: from.bytes.len() as u64 };
    index.segments.insert(scan.id, file);
    Ok(())
}

fn place_entries(record: &Record, segment: SegmentId, frame_at: &mut u64) -> Vec<Slot> {
    let lens = record.entries.iter().flat_map(|entries| &entries.payload_bytes);
    let place = |payload_bytes: &u32| {
        let place = Place { segment, offset: *frame_at, payload_bytes: *payload_bytes };
        *frame_at += FRAME_HEAD_BYTES as u64 + u64::from(*payload_bytes);
        Slot { place, cached: None }
    };
    lens.map(place).collect()
}

/// No entry is known by a header alone: what held it would have been freed too early.
fn require_entries(index: &Index, last: &Loaded) -> Result<(), WalError> {
    for (shard, group) in &index.groups {
        if group.oldest() == Some(SegmentId::NONE) {
            let what = format!("entry {} of {shard} is in no segment", group.state.base.0.next());
            return Err(WalError::Damaged { what, path: last.path.clone(), offset: 0, remedy: REMEDY });
        }
    }
    Ok(())
}
