//! A machine's disk, in memory: what was written, what is durable, and what a crash makes of the difference.
//!
//! ```text
//! write_at ──▶ cache ── sync ──▶ durable image        create, rename, remove ──▶ names ── sync_dir ──▶ durable names
//!                │                                                                 │
//!                └─ crash: each unsynced write is kept, dropped, or torn           └─ crash: each unsynced change of
//!                   at its sectors; a growth may survive without its bytes            a name is kept or dropped
//! ```
//!
//! Invariants
//!  K1  Bytes covered by a returned sync, and names covered by a returned sync of their folder, survive every crash.
//!  K2  Of everything else any subset may survive, down to single sectors; the machine's own stream of luck picks it.
//!  K3  A handle belongs to one boot. When the boot is dead every operation fails and changes nothing, destructors included.
//!  K4  Every operation of a live boot counts towards its crash point, and happens inside `blocking` or `brief` (S2).
//!  K5  After a failed sync the unsynced bytes are durable or not, sector by sector, and no later sync covers them, though reads
//!      still show them: as on Linux, where the pages are marked clean.
//!
//! Not here: rotten and misdirected bytes (a later fault), latency (it belongs to the closure: see `tasks`), two closures that
//! touch the disk at the same time (closures are atomic; ARCHITECTURE.md says what that cannot find).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use tenet_seam::{Disk, File, Open, Random, SECTOR_BYTES};

use crate::boot::{Boot, Death, work_number};
use crate::digest::{Kind, outcome};

/// Chance, in percent, that a lost write leaves the growth of its file behind, as zeros.
const GROWTH_WITHOUT_BYTES_PERCENT: u64 = 25;

/// What a machine's disk has done and suffered so far, over all boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    pub reads: u64,
    pub writes: u64,
    pub syncs: u64,
    pub bytes_written: u64,
    pub failed_syncs: u64,
    pub lied_syncs: u64,
    pub refused_full: u64,
    pub stalled_works: u64,
}

impl DiskStats {
    /// Adds another disk's.
    pub fn add(&mut self, other: &DiskStats) {
        self.reads += other.reads;
        self.writes += other.writes;
        self.syncs += other.syncs;
        self.bytes_written += other.bytes_written;
        self.failed_syncs += other.failed_syncs;
        self.lied_syncs += other.lied_syncs;
        self.refused_full += other.refused_full;
        self.stalled_works += other.stalled_works;
    }
}

/// What one crash met and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// Unsynced writes and changes of length, and the bytes in them.
    pub pending_writes: u64,
    pub pending_bytes: u64,
    pub kept: u64,
    pub dropped: u64,
    /// Of which some sectors survived and others did not.
    pub torn: u64,
    pub pending_names: u64,
    pub dropped_names: u64,
}

/// Operations since the closure began: what its latency is drawn from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) syncs: u64,
}

/// How long operations last, in microseconds, as (least, most).
#[derive(Clone, Copy, Debug)]
pub struct DiskPace {
    pub read_us: (u64, u64),
    pub write_us: (u64, u64),
    pub sync_us: (u64, u64),
}

impl Default for DiskPace {
    /// An ordinary SSD, as measured: a sync lasts a few hundred microseconds.
    fn default() -> DiskPace {
        DiskPace { read_us: (2, 20), write_us: (1, 10), sync_us: (150, 600) }
    }
}

/// One machine's disk. Outlives boots.
pub struct MachineDisk {
    state: Mutex<State>,
}

struct State {
    names: BTreeMap<String, Node>,
    durable_names: BTreeMap<String, Node>,
    name_changes: Vec<NameChange>,
    next_file: u64,
    used_bytes: u64,
    capacity_bytes: Option<u64>,
    sync_failures_due: u64,
    lying: bool,
    stalled_until: u64,
    pace: DiskPace,
    cost: Cost,
    stats: DiskStats,
    luck: Random,
}

#[derive(Clone)]
enum Node {
    Folder,
    File(Arc<Image>),
}

struct Image {
    number: u64,
    data: Mutex<Data>,
}

/// A file's bytes: as read now, as a crash would surely leave them, and the changes between.
#[derive(Default)]
struct Data {
    cache: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// So many of `pending` were acknowledged by a sync that lied.
    promised: usize,
    /// A failed sync lost something that `cache` still shows.
    diverged: bool,
}

enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

enum NameChange {
    Make { path: String, node: Node },
    Rename { source: String, target: String, image: Arc<Image> },
    Remove { path: String },
}

/// How a crash treats what was not synced.
#[derive(Clone, Copy)]
enum Fate {
    Keep,
    Drop,
    Mixed,
}

impl MachineDisk {
    pub(crate) fn new(luck: Random) -> MachineDisk {
        let state = State {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            next_file: 1,
            used_bytes: 0,
            capacity_bytes: None,
            sync_failures_due: 0,
            lying: false,
            stalled_until: 0,
            pace: DiskPace::default(),
            cost: Cost::default(),
            stats: DiskStats::default(),
            luck,
        };
        MachineDisk { state: Mutex::new(state) }
    }

    /// The next `count` syncs fail (K5).
    pub fn fail_syncs(&self, count: u64) {
        self.with(|state| state.sync_failures_due = count);
    }

    /// Writes that would grow all files together beyond this fail. `None`: no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.with(|state| state.capacity_bytes = bytes);
    }

    /// A disk that lies acknowledges a sync and then does what it had acknowledged before, as one with a cache of its own does: the
    /// newest is always at risk. Of names it does nothing at all. The failing control of every crash test.
    pub fn set_lying(&self, lying: bool) {
        self.with(|state| state.lying = lying);
    }

    /// Work on the disk waits until then (nanoseconds of virtual time).
    pub fn stall_until(&self, nanos: u64) {
        self.with(|state| state.stalled_until = nanos);
    }

    pub fn set_pace(&self, pace: DiskPace) {
        self.with(|state| state.pace = pace);
    }

    pub fn stats(&self) -> DiskStats {
        self.with(|state| state.stats)
    }

    /// Length of all files together.
    pub fn used_bytes(&self) -> u64 {
        self.with(|state| state.used_bytes)
    }

    /// Deletes everything, as when somebody removes the data folder. Only while the machine is down.
    pub fn wipe(&self) {
        self.with(|state| {
            state.names.clear();
            state.durable_names.clear();
            state.name_changes.clear();
            state.used_bytes = 0;
        });
    }

    /// Makes of unsynced writes and names what a crash makes of them (K1, K2).
    pub(crate) fn crash(&self) -> CrashReport {
        self.with(State::crash)
    }

    pub(crate) fn stalled_until(&self) -> u64 {
        self.with(|state| state.stalled_until)
    }

    pub(crate) fn count_stalled(&self) {
        self.with(|state| state.stats.stalled_works += 1);
    }

    /// Forgets the operations so far: a closure begins.
    pub(crate) fn begin_work(&self) {
        self.with(|state| state.cost = Cost::default());
    }

    /// Whether there were operations since [`MachineDisk::begin_work`], and how long they last, in nanoseconds.
    pub(crate) fn work_nanos(&self, luck: &mut Random) -> (bool, u64) {
        let (cost, pace) = self.with(|state| (state.cost, state.pace));
        let mut draw = |count: u64, (least, most): (u64, u64)| count * luck.between(least * 1_000, most * 1_000);
        let nanos = draw(cost.reads, pace.read_us) + draw(cost.writes, pace.write_us) + draw(cost.syncs, pace.sync_us);
        (cost.reads + cost.writes + cost.syncs > 0, nanos)
    }

    /// How much of the time that work on this disk lasts passes before it has any effect, in nanoseconds. What the work will do
    /// is not yet known: half of it is taken for something that syncs.
    pub(crate) fn early_nanos(&self, luck: &mut Random) -> u64 {
        let (_, most) = self.with(|state| state.pace.sync_us);
        if luck.chance(50) { luck.below(most.max(1) * 1_000) } else { 0 }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("no holder panics"))
    }
}

impl State {
    fn crash(&mut self) -> CrashReport {
        let fate = match self.luck.below(10) {
            0 => Fate::Keep,
            1 | 2 => Fate::Drop,
            _ => Fate::Mixed,
        };
        let mut report = CrashReport::default();
        for image in self.images() {
            let mut data = image.data.lock().expect("no holder panics");
            let data = &mut *data;
            if data.pending.is_empty() && !data.diverged {
                continue;
            }
            for change in std::mem::take(&mut data.pending) {
                settle(&mut data.durable, change, fate, &mut self.luck, &mut report);
            }
            data.promised = 0;
            data.cache.clone_from(&data.durable);
            data.diverged = false;
        }
        for change in std::mem::take(&mut self.name_changes) {
            report.pending_names += 1;
            if keeps(fate, &mut self.luck) {
                make_durable(&mut self.durable_names, change);
            } else {
                report.dropped_names += 1;
            }
        }
        self.drop_orphans();
        self.names = self.durable_names.clone();
        self.used_bytes = self.images().iter().map(|image| image.len()).sum();
        report
    }

    /// Every file that a name leads to, or may lead to after a crash, in order of creation.
    fn images(&self) -> Vec<Arc<Image>> {
        let changed = self.name_changes.iter().filter_map(|change| match change {
            NameChange::Make { node, .. } => Some(node.clone()),
            NameChange::Rename { image, .. } => Some(Node::File(image.clone())),
            NameChange::Remove { .. } => None,
        });
        let nodes = self.names.values().chain(self.durable_names.values()).cloned().chain(changed);
        let files = nodes.filter_map(|node| match node {
            Node::File(image) => Some((image.number, image)),
            Node::Folder => None,
        });
        files.collect::<BTreeMap<u64, Arc<Image>>>().into_values().collect()
    }

    /// A name whose folder did not survive is lost with it.
    fn drop_orphans(&mut self) {
        let all = self.durable_names.clone();
        self.durable_names
            .retain(|path, _| ancestors(path).all(|folder| matches!(all.get(folder), Some(Node::Folder))));
    }

    fn file(&self, path: &str) -> io::Result<Arc<Image>> {
        match self.names.get(path) {
            Some(Node::File(image)) => Ok(image.clone()),
            Some(Node::Folder) => Err(error(io::ErrorKind::IsADirectory, path)),
            None => Err(error(io::ErrorKind::NotFound, path)),
        }
    }

    fn check_folder(&self, path: &str) -> io::Result<()> {
        match self.names.get(path) {
            _ if path.is_empty() => Ok(()),
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(error(io::ErrorKind::NotADirectory, path)),
            None => Err(error(io::ErrorKind::NotFound, path)),
        }
    }

    fn open(&mut self, path: &str, how: Open) -> io::Result<Arc<Image>> {
        match how {
            Open::Existing => self.file(path),
            Open::New => {
                if self.names.contains_key(path) {
                    return Err(error(io::ErrorKind::AlreadyExists, path));
                }
                self.check_folder(folder_of(path))?;
                let image = Arc::new(Image { number: self.next_file, data: Mutex::default() });
                self.next_file += 1;
                self.make(path, Node::File(image.clone()));
                Ok(image)
            }
        }
    }

    fn create_dir(&mut self, path: &str) -> io::Result<()> {
        let folders: Vec<&str> = ancestors(path).chain([path]).filter(|folder| !folder.is_empty()).collect();
        for folder in folders {
            match self.names.get(folder) {
                Some(Node::Folder) => {}
                Some(Node::File(_)) => return Err(error(io::ErrorKind::NotADirectory, folder)),
                None => self.make(folder, Node::Folder),
            }
        }
        Ok(())
    }

    fn make(&mut self, path: &str, node: Node) {
        self.names.insert(path.to_string(), node.clone());
        self.name_changes.push(NameChange::Make { path: path.to_string(), node });
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.check_folder(path)?;
        let inside = self.names.keys().filter(|name| folder_of(name) == path);
        Ok(inside.map(|name| name[if path.is_empty() { 0 } else { path.len() + 1 }..].to_string()).collect())
    }

    fn rename(&mut self, source: &str, target: &str) -> io::Result<()> {
        let image = self.file(source)?;
        self.check_folder(folder_of(target))?;
        if let Some(Node::Folder) = self.names.get(target) {
            return Err(error(io::ErrorKind::IsADirectory, target));
        }
        if source == target {
            return Ok(());
        }
        self.names.remove(source);
        if let Some(Node::File(replaced)) = self.names.insert(target.to_string(), Node::File(image.clone())) {
            self.used_bytes = self.used_bytes.saturating_sub(replaced.len());
        }
        self.name_changes.push(NameChange::Rename { source: source.to_string(), target: target.to_string(), image });
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        let image = self.file(path)?;
        self.names.remove(path);
        self.used_bytes = self.used_bytes.saturating_sub(image.len());
        self.name_changes.push(NameChange::Remove { path: path.to_string() });
        Ok(())
    }

    fn sync_dir(&mut self, path: &str) -> io::Result<()> {
        self.check_folder(path)?;
        self.begin_sync()?;
        if self.lying {
            return Ok(());
        }
        let (covered, rest) = std::mem::take(&mut self.name_changes).into_iter().partition(|change| match change {
            NameChange::Make { path: made, .. } => folder_of(made) == path,
            NameChange::Rename { source, target, .. } => folder_of(source) == path || folder_of(target) == path,
            NameChange::Remove { path: removed } => folder_of(removed) == path,
        });
        self.name_changes = rest;
        let covered: Vec<NameChange> = covered;
        covered.into_iter().for_each(|change| make_durable(&mut self.durable_names, change));
        Ok(())
    }

    fn sync(&mut self, image: &Image) -> io::Result<()> {
        let failed = self.begin_sync();
        let mut data = image.data.lock().expect("no holder panics");
        let data = &mut *data;
        let fate = if failed.is_ok() { Fate::Keep } else { Fate::Mixed };
        data.diverged |= failed.is_err();
        let covered = if self.lying && failed.is_ok() { data.promised } else { data.pending.len() };
        for change in data.pending.drain(..covered) {
            settle(&mut data.durable, change, fate, &mut self.luck, &mut CrashReport::default());
        }
        data.promised = data.pending.len();
        failed
    }

    fn begin_sync(&mut self) -> io::Result<()> {
        self.stats.syncs += 1;
        self.stats.lied_syncs += u64::from(self.lying);
        if self.sync_failures_due > 0 {
            self.sync_failures_due -= 1;
            self.stats.failed_syncs += 1;
            return Err(io::Error::other("input/output error (simulated failed sync)"));
        }
        Ok(())
    }

    /// Writes, and on a full disk only what fits.
    fn write(&mut self, image: &Image, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut data = image.data.lock().expect("no holder panics");
        let growth = (offset + bytes.len() as u64).saturating_sub(data.cache.len() as u64);
        let room = self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes));
        self.stats.writes += 1;
        if growth <= room {
            self.used_bytes += growth;
            self.stats.bytes_written += bytes.len() as u64;
            data.write(offset, bytes);
            return Ok(());
        }
        self.stats.refused_full += 1;
        let end = data.cache.len() as u64 + room;
        let fitting = (end.saturating_sub(offset) as usize).min(bytes.len());
        if fitting > 0 {
            self.used_bytes += (offset + fitting as u64).saturating_sub(data.cache.len() as u64);
            data.write(offset, &bytes[..fitting]);
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    fn set_len(&mut self, image: &Image, len: u64) -> io::Result<()> {
        let mut data = image.data.lock().expect("no holder panics");
        let before = data.cache.len() as u64;
        let room = self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes));
        self.stats.writes += 1;
        if len.saturating_sub(before) > room {
            self.stats.refused_full += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.used_bytes = (self.used_bytes + len).saturating_sub(before);
        resize(&mut data.cache, len as usize);
        data.pending.push(Change::SetLen(len));
        Ok(())
    }
}

impl Image {
    fn len(&self) -> u64 {
        self.data.lock().expect("no holder panics").cache.len() as u64
    }
}

impl Data {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        overwrite(&mut self.cache, offset as usize, bytes);
        self.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }
}

fn overwrite(target: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if target.len() < end {
        resize(target, end);
    }
    target[offset..end].copy_from_slice(bytes);
}

/// Cuts, or appends zeros. `Vec::resize` writes them one by one in the dev profile, and a store begins with a megabyte of them: that
/// was a third of all the time of short worlds.
fn resize(bytes: &mut Vec<u8>, len: usize) {
    const ZEROS: [u8; 4096] = [0; 4096];
    if len > bytes.capacity() * 2 {
        // The system's own zeros, most of which are never touched.
        let mut grown = vec![0; len];
        grown[..bytes.len()].copy_from_slice(bytes);
        *bytes = grown;
    }
    while bytes.len() < len {
        bytes.extend_from_slice(&ZEROS[..ZEROS.len().min(len - bytes.len())]);
    }
    bytes.truncate(len);
}

/// Brings one unsynced change into the durable image, or some of its sectors, or nothing.
fn settle(durable: &mut Vec<u8>, change: Change, fate: Fate, luck: &mut Random, report: &mut CrashReport) {
    report.pending_writes += 1;
    let (offset, bytes) = match change {
        Change::SetLen(len) => {
            if keeps(fate, luck) {
                resize(durable, len as usize);
                report.kept += 1;
            } else {
                report.dropped += 1;
            }
            return;
        }
        Change::Write { offset, bytes } => (offset as usize, bytes),
    };
    report.pending_bytes += bytes.len() as u64;
    if matches!(fate, Fate::Keep) {
        overwrite(durable, offset, &bytes);
        report.kept += 1;
        return;
    }
    let end = offset + bytes.len();
    let (mut kept, mut dropped) = (0u64, 0u64);
    let whole = match fate {
        Fate::Keep => Some(true),
        Fate::Drop => Some(false),
        Fate::Mixed => [Some(true), Some(false), None][luck.below(3) as usize],
    };
    let mut start = offset;
    while start < end {
        let next = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
        if whole.unwrap_or_else(|| luck.chance(50)) {
            overwrite(durable, start, &bytes[start - offset..next - offset]);
            kept += 1;
        } else {
            dropped += 1;
        }
        start = next;
    }
    if matches!(fate, Fate::Mixed) && durable.len() < end && luck.chance(GROWTH_WITHOUT_BYTES_PERCENT) {
        resize(durable, end);
    }
    report.torn += u64::from(kept > 0 && dropped > 0);
    report.kept += u64::from(dropped == 0);
    report.dropped += u64::from(kept == 0 && dropped > 0);
}

fn keeps(fate: Fate, luck: &mut Random) -> bool {
    match fate {
        Fate::Keep => true,
        Fate::Drop => false,
        Fate::Mixed => luck.chance(50),
    }
}

fn make_durable(names: &mut BTreeMap<String, Node>, change: NameChange) {
    match change {
        NameChange::Make { path, node } => {
            names.insert(path, node);
        }
        NameChange::Rename { source, target, image } => {
            if matches!(names.get(&source), Some(Node::File(there)) if there.number == image.number) {
                names.remove(&source);
            }
            names.insert(target, Node::File(image));
        }
        NameChange::Remove { path } => {
            names.remove(&path);
        }
    }
}

/// The folder that a name is in; `""` is the data folder itself.
fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The folders above a path, outermost first, without the data folder itself.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn error(kind: io::ErrorKind, path: &str) -> io::Error {
    io::Error::new(kind, format!("{path}: {kind}"))
}

/// [`Disk`] for one boot of a machine.
pub(crate) struct SimDisk {
    pub(crate) boot: Arc<Boot>,
}

impl SimDisk {
    /// One operation on names: counted, done unless the boot is dead, folded, and perhaps the last one.
    fn operate<T>(
        &self,
        kind: Kind,
        path: &str,
        number: u64,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let last = self.boot.count_disk_operation()?;
        let result = self.boot.machine.disk.with(|state| {
            state.cost.writes += 1;
            work(state)
        });
        self.boot.event(kind, 0, number, outcome(&result), path.as_bytes());
        if last { self.boot.die_at(kind, path, false) } else { result }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let new = u64::from(how == Open::New);
        let image = self.operate(Kind::DiskOpen, path, new, |state| state.open(path, how))?;
        Ok(Arc::new(SimFile { boot: self.boot.clone(), path: path.to_string(), image, opened_in: work_number() }))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.operate(Kind::DiskName, path, 1, |state| state.create_dir(path))
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.operate(Kind::DiskList, path, 0, |state| state.list(path))
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        self.operate(Kind::DiskList, path, 1, |state| Ok(path.is_empty() || state.names.contains_key(path)))
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        let number = self.operate(Kind::DiskName, source, 2, |state| state.rename(source, target));
        self.boot.event(Kind::DiskName, 0, 3, outcome(&number), target.as_bytes());
        number
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.operate(Kind::DiskName, path, 4, |state| state.remove(path))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let last = self.boot.count_disk_operation()?;
        if last {
            return self.boot.die_at(Kind::DiskSyncDir, path, false);
        }
        let result = self.boot.machine.disk.with(|state| {
            state.cost.syncs += 1;
            state.sync_dir(path)
        });
        self.boot.event(Kind::DiskSyncDir, 0, 0, outcome(&result), path.as_bytes());
        result
    }
}

struct SimFile {
    boot: Arc<Boot>,
    path: String,
    image: Arc<Image>,
    opened_in: u64,
}

impl SimFile {
    fn die_at<T>(&self, kind: Kind) -> io::Result<T> {
        self.boot.die_at(kind, &self.path, self.opened_in == work_number())
    }

    fn event(&self, kind: Kind, number: u64, result: u64, bytes: &[u8]) {
        self.boot.event(kind, self.image.number, number, result, bytes);
    }

    /// An operation that reads: a crash point on it simply stops there.
    fn read<T>(&self, kind: Kind, number: u64, work: impl FnOnce(&Data) -> io::Result<T>) -> io::Result<T> {
        if self.boot.count_disk_operation()? {
            return self.die_at(kind);
        }
        self.boot.machine.disk.with(|state| {
            state.cost.reads += 1;
            state.stats.reads += 1;
        });
        let result = work(&self.image.data.lock().expect("no holder panics"));
        self.event(kind, number, outcome(&result), &[]);
        result
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.read(Kind::DiskLen, 0, |data| Ok(data.cache.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.read(Kind::DiskRead, offset, |data| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let bytes = start.checked_add(buf.len()).and_then(|end| data.cache.get(start..end));
            buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // A crash inside a write: it is among the unsynced ones, and may be torn like them.
        let last = self.boot.count_disk_operation()?;
        let result = self.boot.machine.disk.with(|state| {
            state.cost.writes += 1;
            state.write(&self.image, offset, bytes)
        });
        self.event(Kind::DiskWrite, offset, outcome(&result), bytes);
        if last { self.die_at(Kind::DiskWrite) } else { result }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let last = self.boot.count_disk_operation()?;
        let result = self.boot.machine.disk.with(|state| {
            state.cost.writes += 1;
            state.set_len(&self.image, len)
        });
        self.event(Kind::DiskSetLen, len, outcome(&result), &[]);
        if last { self.die_at(Kind::DiskSetLen) } else { result }
    }

    fn sync(&self) -> io::Result<()> {
        // A crash inside a sync: nothing of it is promised, everything of it may have happened.
        if self.boot.count_disk_operation()? {
            return self.die_at(Kind::DiskSync);
        }
        let result = self.boot.machine.disk.with(|state| {
            state.cost.syncs += 1;
            state.sync(&self.image)
        });
        self.event(Kind::DiskSync, 0, outcome(&result), &[]);
        result
    }
}

impl Boot {
    /// The crash point is reached: the machine dies inside this operation.
    fn die_at<T>(self: &Arc<Boot>, kind: Kind, path: &str, opening: bool) -> io::Result<T> {
        self.die(Death::CrashPoint { operation: kind, path: path.to_string(), opening });
        Err(crate::boot::down())
    }
}
