//! A disk in memory that forgets, tears and fails as a real one may: the test double for [`Disk`].
//!
//! Everything that the trait allows to go wrong at a crash does go wrong here, drawn from a seed: unsynced writes are kept,
//! dropped, or torn per sector in any subset; names not covered by a `sync_dir` vanish or stay; the call in which the node
//! dies may or may not have had its effect. A test runs its code with a *fuse* (a count of disk calls), lets it burn down,
//! calls [`FakeDisk::crash`], and opens again.
//!
//! Invariants
//!  F1  Bytes covered by a returned `sync` and names covered by a returned `sync_dir` survive every crash (unless the disk
//!      was told to lie).
//!  F2  A sector is old or new, never a mixture of its own bytes.
//!  F3  Nothing that was opened before a crash or restart has any effect after it.
//!  F4  The same seed and the same calls give the same disk.
//!
//! No call lasts, unless a test has it last ([`FakeDisk::set_pause`]), so that threads meet in the middle of one.
//!
//! Not here: misdirected writes, renames between folders and of folders (`Unsupported`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, File, Open, SECTOR_BYTES};

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct FakeDisk {
    state: Arc<Mutex<State>>,
}

/// How long a call lasts.
pub type Pause = Arc<dyn Fn() + Send + Sync>;

/// What a crash did to what was not yet durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashReport {
    /// Written and not synced when the crash came.
    pub unsynced_bytes: u64,
    pub writes_kept: u64,
    pub writes_dropped: u64,
    /// Writes of which some sectors were kept and some dropped.
    pub writes_torn: u64,
    /// Changes of folders that were undone.
    pub names_dropped: u64,
}

impl FakeDisk {
    pub fn new(seed: u64) -> FakeDisk {
        FakeDisk {
            state: Arc::new(Mutex::new(State {
                luck: Luck(seed),
                epoch: 0,
                operations: 0,
                fuse: None,
                fault: None,
                sync_fault: false,
                lying: false,
                dead: false,
                capacity: None,
                pause: None,
                inodes: BTreeMap::new(),
                inode_next: 1,
                names: BTreeMap::new(),
                names_durable: BTreeMap::new(),
                names_pending: BTreeMap::new(),
            })),
        }
    }

    /// The disk as this boot sees it; fenced off by the next [`FakeDisk::crash`] or [`FakeDisk::restart`].
    pub fn handle(&self) -> Arc<dyn Disk> {
        Arc::new(Handle { epoch: self.lock().epoch, state: self.state.clone() })
    }

    /// A separate disk in the same state, with its own luck and no handles; the two go separate ways.
    pub fn fork(&self, seed: u64) -> FakeDisk {
        let mut state = self.lock().clone();
        state.luck = Luck(seed);
        state.epoch += 1;
        for inode in state.inodes.values_mut() {
            inode.handles = Arc::new(());
        }
        FakeDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// After this many more calls the node dies: the next call and all later ones of this boot fail, the first of them with
    /// or without its effect. `None` takes the fuse out.
    pub fn set_fuse(&self, operations: Option<u64>) {
        self.lock().fuse = operations;
    }

    /// After this many more calls one call fails with an I/O error; later ones work again.
    pub fn set_fault(&self, operations: Option<u64>) {
        self.lock().fault = operations;
    }

    /// The next `sync` fails. Of the bytes that it should have made durable each write may be forgotten: it can still be read
    /// until the next crash, but no later sync saves it (as Linux does).
    pub fn fail_next_sync(&self) {
        self.lock().sync_fault = true;
    }

    /// From now on every `sync` and `sync_dir` returns at once and does nothing: for controls that must fail.
    pub fn set_lying(&self, lying: bool) {
        self.lock().lying = lying;
    }

    /// What each `sync` and `set_len` does before it takes effect, with nothing locked: for tests of threads.
    pub fn set_pause(&self, pause: Option<Pause>) {
        self.lock().pause = pause;
    }

    /// Most bytes in all files together; growing beyond is [`io::ErrorKind::StorageFull`].
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// The power fails: what is unsynced is kept, dropped or torn; all handles are fenced off; fuses and faults are taken out.
    pub fn crash(&self) -> CrashReport {
        let mut state = self.lock();
        let report = state.lose_power();
        state.reboot();
        report
    }

    /// The process ends and the machine lives on: nothing is lost, all handles are fenced off.
    pub fn restart(&self) {
        self.lock().reboot();
    }

    /// Calls so far, over all boots, fenced and failed ones left out.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Whether the fuse has burnt down.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Bytes written and not synced.
    pub fn unsynced_bytes(&self) -> u64 {
        self.lock().inodes.values().map(Inode::unsynced_bytes).sum()
    }

    /// Bytes in all files together.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// All files, by path.
    pub fn paths(&self) -> Vec<String> {
        let state = self.lock();
        let files = state.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// How many open files of all boots are this one. Panics if there is none.
    pub fn handles(&self, path: &str) -> usize {
        Arc::strong_count(&self.lock().named(path).handles) - 1
    }

    /// What a file holds, synced or not. Panics if there is none.
    pub fn contents(&self, path: &str) -> Vec<u8> {
        self.lock().named(path).now.clone()
    }

    /// Bit `bit` (0 to 7) of the byte at `offset` turns over, on the medium and in every cache. Panics if it is not there.
    pub fn flip_bit(&self, path: &str, offset: u64, bit: u8) {
        let mut state = self.lock();
        let inode = state.named(path);
        let at = usize::try_from(offset).expect("an offset in memory");
        inode.now[at] ^= 1 << bit;
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    /// Replaces a file's contents, durably: for damage that is more than a bit. Panics if there is no such file.
    pub fn overwrite(&self, path: &str, contents: Vec<u8>) {
        let mut state = self.lock();
        let inode = state.named(path);
        (inode.now, inode.durable) = (contents.clone(), contents);
        inode.pending.clear();
    }

    /// A file is gone, durably. Panics if there is no such file.
    pub fn lose_file(&self, path: &str) {
        let mut state = self.lock();
        assert!(state.names.remove(path).is_some(), "no file {path}");
        state.names_durable.remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panics while it holds the state")
    }
}

/// Splitmix64: small, good enough for faults, and the same everywhere.
#[derive(Clone)]
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Dir,
    File(u64),
}

/// A change of one folder that is not yet durable. Paths are whole.
#[derive(Clone)]
enum NameChange {
    Link { path: String, node: Node },
    Unlink { path: String },
    Rename { source: String, target: String, node: Node },
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            NameChange::Link { path, node } => {
                names.insert(path.clone(), *node);
            }
            NameChange::Unlink { path } => {
                names.remove(path);
            }
            NameChange::Rename { source, target, node } => {
                if names.get(source) == Some(node) {
                    names.remove(source);
                }
                names.insert(target.clone(), *node);
            }
        }
    }
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Len(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { offset, data } => put(bytes, *offset, data),
            Change::Len(len) => bytes.resize(*len, 0),
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

#[derive(Clone, Default)]
struct Inode {
    /// What a read sees.
    now: Vec<u8>,
    /// What the medium holds for certain.
    durable: Vec<u8>,
    /// Changes since the last sync, in order.
    pending: Vec<Change>,
    /// Cloned by each open file.
    handles: Arc<()>,
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn unsynced_bytes(&self) -> u64 {
        self.pending
            .iter()
            .map(|change| match change {
                Change::Write { data, .. } => data.len() as u64,
                Change::Len(_) => 0,
            })
            .sum()
    }

    /// Each pending write is kept, dropped or torn; lengths are kept or dropped.
    fn lose_power(&mut self, luck: &mut Luck, report: &mut CrashReport) {
        report.unsynced_bytes += self.unsynced_bytes();
        let mode = luck.below(4);
        for change in std::mem::take(&mut self.pending) {
            // 0: all is kept; 1: all is lost; otherwise each write meets its own fate.
            let fate = if mode < 2 { mode } else { luck.below(4) };
            match (fate, &change) {
                (0, _) => {
                    change.apply(&mut self.durable);
                    report.writes_kept += 1;
                }
                (1, _) | (_, Change::Len(_)) => report.writes_dropped += 1,
                (_, Change::Write { offset, data }) => self.tear(*offset, data, luck, report),
            }
        }
        self.now = self.durable.clone();
    }

    fn tear(&mut self, offset: usize, data: &[u8], luck: &mut Luck, report: &mut CrashReport) {
        let kept_of_eight = 1 + luck.below(7);
        let (mut kept, mut dropped) = (0, 0);
        let mut at = 0;
        while at < data.len() {
            let end = data.len().min(at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES);
            if luck.below(8) < kept_of_eight {
                put(&mut self.durable, offset + at, &data[at..end]);
                kept += 1;
            } else {
                dropped += 1;
            }
            at = end;
        }
        // The length is metadata: it may be there without the bytes.
        if luck.coin() && self.durable.len() < offset + data.len() {
            self.durable.resize(offset + data.len(), 0);
        }
        match (kept, dropped) {
            (_, 0) => report.writes_kept += 1,
            (0, _) => report.writes_dropped += 1,
            _ => report.writes_torn += 1,
        }
    }
}

#[derive(Clone)]
struct State {
    luck: Luck,
    epoch: u64,
    operations: u64,
    fuse: Option<u64>,
    fault: Option<u64>,
    sync_fault: bool,
    lying: bool,
    dead: bool,
    capacity: Option<u64>,
    pause: Option<Pause>,
    inodes: BTreeMap<u64, Inode>,
    inode_next: u64,
    names: BTreeMap<String, Node>,
    names_durable: BTreeMap<String, Node>,
    /// By folder.
    names_pending: BTreeMap<String, Vec<NameChange>>,
}

/// What becomes of one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    /// The node dies in this call, which has had its effect.
    DiesAfter,
}

impl Fate {
    fn done<T>(self, value: T) -> io::Result<T> {
        match self {
            Fate::Works => Ok(value),
            Fate::DiesAfter => Err(dead()),
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the node has crashed")
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or(String::new(), |(dir, _)| dir.to_string())
}

fn absent(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no such file: {path}"))
}

impl State {
    /// Every call passes here first.
    fn begin(&mut self, epoch: u64) -> io::Result<Fate> {
        if epoch != self.epoch || self.dead {
            return Err(dead());
        }
        self.operations += 1;
        if let Some(left) = &mut self.fault {
            if *left == 0 {
                self.fault = None;
                return Err(io::Error::other("drawn I/O error"));
            }
            *left -= 1;
        }
        if let Some(left) = &mut self.fuse {
            if *left == 0 {
                self.dead = true;
                return if self.luck.coin() { Ok(Fate::DiesAfter) } else { Err(dead()) };
            }
            *left -= 1;
        }
        Ok(Fate::Works)
    }

    fn named(&mut self, path: &str) -> &mut Inode {
        match self.names.get(path) {
            Some(Node::File(inode)) => self.inode(*inode),
            Some(Node::Dir) | None => panic!("no file {path}"),
        }
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("an inode lives as long as a name or a handle of this boot")
    }

    fn used_bytes(&self) -> u64 {
        let files = self.names.values().filter_map(|node| match node {
            Node::File(inode) => Some(self.inodes[inode].now.len() as u64),
            Node::Dir => None,
        });
        files.sum()
    }

    fn reserve(&self, inode: u64, len: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let grown = len.saturating_sub(self.inodes[&inode].now.len() as u64);
        if grown > 0 && self.used_bytes() + grown > capacity {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is full"));
        }
        Ok(())
    }

    fn change_name(&mut self, dir: String, change: NameChange) {
        change.apply(&mut self.names);
        self.names_pending.entry(dir).or_default().push(change);
    }

    fn make_dir(&mut self, path: &str) -> io::Result<()> {
        match self.names.get(path) {
            _ if path.is_empty() => Ok(()),
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{path} is a file"))),
            None => {
                self.make_dir(&parent(path))?;
                self.change_name(parent(path), NameChange::Link { path: path.to_string(), node: Node::Dir });
                Ok(())
            }
        }
    }

    fn need_dir(&self, path: &str) -> io::Result<()> {
        if path.is_empty() || self.names.get(path) == Some(&Node::Dir) { Ok(()) } else { Err(absent(path)) }
    }

    fn lose_power(&mut self) -> CrashReport {
        let mut report = CrashReport::default();
        for changes in std::mem::take(&mut self.names_pending).into_values() {
            // 0: all are kept; 1: none; 2: those up to some moment, as a journal would; 3: any subset.
            let mode = self.luck.below(4);
            let kept_count = self.luck.below(changes.len() as u64 + 1);
            for (at, change) in changes.iter().enumerate() {
                let kept = match mode {
                    0 => true,
                    1 => false,
                    2 => (at as u64) < kept_count,
                    _ => self.luck.coin(),
                };
                if kept {
                    change.apply(&mut self.names_durable);
                } else {
                    report.names_dropped += 1;
                }
            }
        }
        let mut names = BTreeMap::new();
        for (path, node) in &self.names_durable {
            let dir = parent(path);
            // Parents sort before what is in them.
            if dir.is_empty() || names.get(&dir) == Some(&Node::Dir) {
                names.insert(path.clone(), *node);
            }
        }
        self.names = names.clone();
        self.names_durable = names;
        for inode in self.inodes.values_mut() {
            inode.lose_power(&mut self.luck, &mut report);
        }
        report
    }

    fn reboot(&mut self) {
        self.epoch += 1;
        self.fuse = None;
        self.fault = None;
        self.sync_fault = false;
        self.dead = false;
        self.forget_files();
    }

    /// A removed file goes with its last name, durable or not, and its last handle.
    fn forget_files(&mut self) {
        let mut used = BTreeSet::new();
        let mut note = |node: &Node| {
            if let Node::File(inode) = node {
                used.insert(*inode);
            }
        };
        self.names.values().for_each(&mut note);
        self.names_durable.values().for_each(&mut note);
        for change in self.names_pending.values().flatten() {
            match change {
                NameChange::Link { node, .. } | NameChange::Rename { node, .. } => note(node),
                NameChange::Unlink { .. } => {}
            }
        }
        self.inodes.retain(|id, inode| used.contains(id) || Arc::strong_count(&inode.handles) > 1);
    }
}

struct Handle {
    epoch: u64,
    state: Arc<Mutex<State>>,
}

impl Handle {
    fn begin(&self) -> io::Result<(MutexGuard<'_, State>, Fate)> {
        let mut state = self.state.lock().expect("no call panics while it holds the state");
        let fate = state.begin(self.epoch)?;
        Ok((state, fate))
    }
}

impl Disk for Handle {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let (mut state, fate) = self.begin()?;
        let inode = match (how, state.names.get(path).copied()) {
            (Open::Existing, Some(Node::File(inode))) => inode,
            (Open::Existing, _) => return Err(absent(path)),
            (Open::New, Some(_)) => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("it exists: {path}")));
            }
            (Open::New, None) => {
                state.need_dir(&parent(path))?;
                let inode = state.inode_next;
                state.inode_next += 1;
                state.inodes.insert(inode, Inode::default());
                let link = NameChange::Link { path: path.to_string(), node: Node::File(inode) };
                state.change_name(parent(path), link);
                inode
            }
        };
        let handle = state.inode(inode).handles.clone();
        fate.done(Arc::new(OpenFile { inode, epoch: self.epoch, state: self.state.clone(), _handle: handle }))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let (mut state, fate) = self.begin()?;
        state.make_dir(path)?;
        fate.done(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let (state, fate) = self.begin()?;
        state.need_dir(path)?;
        let children = state.names.keys().filter(|name| parent(name) == path);
        let names = children.map(|name| name.rsplit('/').next().expect("rsplit yields at least one").to_string());
        fate.done(names.collect())
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        let (state, fate) = self.begin()?;
        fate.done(path.is_empty() || state.names.contains_key(path))
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        let (mut state, fate) = self.begin()?;
        let Some(node @ Node::File(_)) = state.names.get(source).copied() else { return Err(absent(source)) };
        if parent(source) != parent(target) || state.names.get(target) == Some(&Node::Dir) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this fake renames files within one folder only"));
        }
        let change = NameChange::Rename { source: source.to_string(), target: target.to_string(), node };
        state.change_name(parent(source), change);
        fate.done(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (mut state, fate) = self.begin()?;
        let Some(Node::File(_)) = state.names.get(path) else { return Err(absent(path)) };
        state.change_name(parent(path), NameChange::Unlink { path: path.to_string() });
        fate.done(())
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let (mut state, fate) = self.begin()?;
        state.need_dir(path)?;
        if !state.lying {
            let state = &mut *state;
            for change in state.names_pending.remove(path).unwrap_or_default() {
                change.apply(&mut state.names_durable);
            }
            state.forget_files();
        }
        fate.done(())
    }
}

struct OpenFile {
    inode: u64,
    epoch: u64,
    state: Arc<Mutex<State>>,
    /// Keeps the file when its names go.
    _handle: Arc<()>,
}

impl OpenFile {
    fn pause(&self) {
        let pause = self.state.lock().expect("no call panics while it holds the state").pause.clone();
        if let Some(pause) = pause {
            pause();
        }
    }

    fn begin(&self) -> io::Result<(MutexGuard<'_, State>, Fate)> {
        let mut state = self.state.lock().expect("no call panics while it holds the state");
        let fate = state.begin(self.epoch)?;
        Ok((state, fate))
    }
}

/// Memory bounds what this disk can hold.
fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "offset beyond memory"))
}

impl File for OpenFile {
    fn len(&self) -> io::Result<u64> {
        let (mut state, fate) = self.begin()?;
        let len = state.inode(self.inode).now.len() as u64;
        fate.done(len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (mut state, fate) = self.begin()?;
        let bytes = &state.inode(self.inode).now;
        let start = position(offset)?;
        let Some(source) = start.checked_add(buf.len()).and_then(|end| bytes.get(start..end)) else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "read past the end of the file"));
        };
        buf.copy_from_slice(source);
        fate.done(())
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut state, fate) = self.begin()?;
        state.reserve(self.inode, offset + data.len() as u64)?;
        state.inode(self.inode).change(Change::Write { offset: position(offset)?, data: data.to_vec() });
        fate.done(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pause();
        let (mut state, fate) = self.begin()?;
        state.reserve(self.inode, len)?;
        state.inode(self.inode).change(Change::Len(position(len)?));
        fate.done(())
    }

    fn sync(&self) -> io::Result<()> {
        self.pause();
        let (mut state, fate) = self.begin()?;
        if state.sync_fault {
            let state = &mut *state;
            state.sync_fault = false;
            let inode = state.inodes.get_mut(&self.inode).expect("a handle of this boot holds its inode");
            // Lengths are in the journal; bytes may be forgotten.
            inode.pending.retain(|change| matches!(change, Change::Len(_)) || state.luck.coin());
            return Err(io::Error::other("drawn failure of sync"));
        }
        if !state.lying {
            state.inode(self.inode).sync();
        }
        fate.done(())
    }
}
