//! The store of one shard: apply, checkpoint, get, scan, export.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use tenet_seam::{Disk, Open};
use tenet_types::{CatalogVersion, Entry, Key, LogIndex, ShardId, Span, Term, Timestamp, WriteSet, mark, unexpected};

use crate::backend::{Place, open_database};
use crate::meta::META_FORMAT;
use crate::transfer::{ChunkWriter, Import, sync_folder_of};
use crate::version::{self, DataTable, Version, Walker};
use crate::{ExportChunk, Meta, StoreError};

pub(crate) const DATA: TableDefinition<&[u8], &[u8]> = TableDefinition::new("data");
pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
pub(crate) const META_KEY: &str = "meta";

/// Most versions that one call looks at before it asks to be continued, give or take the few of one key: about a millisecond.
pub const STEPS_MAX: usize = 16 * 1024;

/// Versions of one key that a scan steps over before it searches: a search costs about as much as this many steps.
const NEAR_STEPS: usize = 8;

#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// What redb may keep of the file in memory, in bytes.
    pub cache_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions { cache_bytes: 1024 * 1024 }
    }
}

/// At most so many rows, and so many bytes of keys and values (but at least one row).
#[derive(Clone, Copy, Debug)]
pub struct ScanLimit {
    pub rows: usize,
    pub bytes: usize,
}

/// What one call of [`Store::scan`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub rows: Vec<(Key, Vec<u8>)>,
    /// The first key not looked at; `None` at the end of the span. There may be more even if `rows` is empty: deleted rows and
    /// old versions count as work too.
    pub resume: Option<Key>,
}

/// What applying one entry came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The commit's timestamp; a no-op has that of the commit before it.
    pub timestamp: Timestamp,
    /// [`Meta::state_hash`] after the entry, to be compared between replicas.
    pub state_hash: [u8; 32],
}

/// One shard's rows. Reads may run beside each other and beside one apply or checkpoint.
pub struct Store {
    place: Arc<Place>,
    /// `None` only while it closes. Written (exclusively) by scrub alone.
    database: RwLock<Option<Database>>,
    /// Held by apply and checkpoint.
    writer: Mutex<()>,
    state: Mutex<State>,
    /// [`STEPS_MAX`], less in tests.
    pub(crate) steps_max: usize,
}

struct State {
    meta: Meta,
    durable: Meta,
}

impl Store {
    /// Makes an empty store at `path`, durably (T6), and opens it.
    pub fn create(
        disk: Arc<dyn Disk>,
        path: &str,
        options: &StoreOptions,
        shard: ShardId,
    ) -> Result<Store, StoreError> {
        if disk.exists(path).map_err(|e| Place::new(path).io("look", e))? {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        Import::begin(disk.clone(), path, options, shard)?.finish_empty()?;
        Store::open(disk, path, options, shard)
    }

    /// Opens the store at `path`. After a crash that costs a walk over part of the file.
    pub fn open(disk: Arc<dyn Disk>, path: &str, options: &StoreOptions, shard: ShardId) -> Result<Store, StoreError> {
        let place = Place::new(path);
        if !disk.exists(path).map_err(|e| place.io("look", e))? {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        // What we read now is durable: redb syncs the file before it hands the database over, and we its name.
        // 1. An import renames its file, and the process is killed before it syncs the folder. 2. The next one opens the new file
        // and calls it durable; the wal forgets. 3. The power fails, and the old file is back.
        sync_folder_of(&*disk, &place)?;
        let database = open_database(&*disk, &place, Open::Existing, options.cache_bytes)?;
        let meta = match place.catch("read meta", || read_meta(&place, &database, shard)) {
            Ok(meta) => meta,
            Err(error) => {
                // Not ours, or not whole: closing it must not change it.
                place.kill();
                place.close(database)?;
                return Err(error);
            }
        };
        Ok(Store {
            place,
            database: RwLock::new(Some(database)),
            writer: Mutex::new(()),
            state: Mutex::new(State { durable: meta.clone(), meta }),
            steps_max: STEPS_MAX,
        })
    }

    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// Everything applied so far.
    pub fn meta(&self) -> Meta {
        self.state().meta.clone()
    }

    /// What a crash now would leave, at least.
    pub fn durable(&self) -> Meta {
        self.state().durable.clone()
    }

    /// Applies entries that follow [`Meta::applied`], all or none (T1), in one redb transaction. They are visible at once and durable at the next checkpoint.
    ///
    /// [`StoreError::NotContiguous`] and [`StoreError::Entry`] are deterministic and leave the store as it was. After any other error
    /// it is dead.
    pub fn apply(&self, entries: &[(LogIndex, Term, Arc<[u8]>)]) -> Result<Vec<Applied>, StoreError> {
        let _writer = self.writer();
        let mut meta = self.meta();
        let mut commits = Vec::with_capacity(entries.len());
        let mut applied = Vec::with_capacity(entries.len());
        for (index, term, payload) in entries {
            if let Some(writes) = advance(&mut meta, *index, *term, payload)? {
                commits.push((meta.timestamp, writes));
            }
            applied.push(Applied { timestamp: meta.timestamp, state_hash: meta.state_hash });
        }
        if entries.is_empty() {
            return Ok(applied);
        }
        self.place.catch_write("apply", || self.write(&meta, &commits))?;
        self.state().meta = meta;
        Ok(applied)
    }

    /// The one transaction of an apply.
    fn write(&self, meta: &Meta, commits: &[(Timestamp, WriteSet)]) -> Result<(), StoreError> {
        let failed = |e: redb::Error| self.place.redb("apply", e);
        let mut txn = self.with_database(|db| db.begin_write().map_err(|e| failed(e.into())))?;
        txn.set_durability(Durability::None).map_err(|e| failed(e.into()))?;
        {
            let mut data = txn.open_table(DATA).map_err(|e| failed(e.into()))?;
            for (timestamp, writes) in commits {
                for write in writes {
                    let key = write.key.at(*timestamp);
                    let stored = version::encode(&key, write.value.as_deref());
                    data.insert(&key[..], &stored[..]).map_err(|e| failed(e.into()))?;
                }
            }
            let mut table = txn.open_table(META).map_err(|e| failed(e.into()))?;
            table.insert(META_KEY, &meta.encode()[..]).map_err(|e| failed(e.into()))?;
        }
        txn.commit().map_err(|e| failed(e.into()))
    }

    /// Makes everything applied so far durable, and returns what that is. Two syncs; nothing if nothing is new.
    pub fn checkpoint(&self) -> Result<Meta, StoreError> {
        let _writer = self.writer();
        self.place.check_writable()?;
        let meta = {
            let state = self.state();
            if state.meta == state.durable {
                return Ok(state.durable.clone());
            }
            state.meta.clone()
        };
        self.place.catch_write("checkpoint", || {
            let failed = |e: redb::Error| self.place.redb("checkpoint", e);
            let mut txn = self.with_database(|db| db.begin_write().map_err(|e| failed(e.into())))?;
            txn.set_durability(Durability::Immediate).map_err(|e| failed(e.into()))?;
            txn.set_quick_repair(true);
            txn.commit().map_err(|e| failed(e.into()))
        })?;
        self.state().durable = meta.clone();
        Ok(meta)
    }

    /// The newest version at or before `at`, with its timestamp; `None` if there is none, or it is a deletion.
    pub fn get(&self, key: &Key, at: Timestamp) -> Result<Option<(Timestamp, Vec<u8>)>, StoreError> {
        self.check_gc(at)?;
        self.read("get", |table| {
            let mut walker = Walker::new(&self.place, table, Bound::Included(&key.at(at)))?;
            let found = walker.next()?.filter(|version| version.key() == key.0);
            Ok(found.and_then(|version| Some((version.timestamp, version.value()?.to_vec()))))
        })
    }

    /// Rows of the span as they were at `at`, in order of key. Go on with `Span { start: resume, end }` and the same `at`.
    ///
    /// `at` is at most the timestamp of [`Store::meta`]; later, two pages could see different states.
    pub fn scan(&self, span: &Span, at: Timestamp, limit: ScanLimit) -> Result<Page, StoreError> {
        assert!(limit.rows > 0, "a scan of no rows makes no progress");
        self.check_gc(at)?;
        if span.is_empty() {
            return Ok(Page::default());
        }
        self.read("scan", |table| self.scan_table(table, span, at, limit))
    }

    fn scan_table(&self, table: &DataTable, span: &Span, at: Timestamp, limit: ScanLimit) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let mut page_bytes = 0;
        let mut keys = 0;
        let mut walker = Walker::new(&self.place, table, Bound::Included(&span.start.0))?;
        let mut next = walker.next()?;
        while let Some(version) = next {
            let key = Key(version.key().to_vec());
            if key < span.start {
                // The start is this key and more (its successor, say): some of its versions sort after the bare start.
                next = past(&mut walker, &key)?;
                continue;
            }
            if key >= span.end {
                break;
            }
            // At least one key is looked at, or the caller would come back with the same span for ever.
            if page.rows.len() == limit.rows || (keys > 0 && walker.steps > self.steps_max) {
                page.resume = Some(key);
                break;
            }
            keys += 1;
            let visible = newest(&mut walker, version, &key, at)?;
            let Some(version) = visible.as_ref().filter(|version| version.key() == key.0) else {
                next = visible;
                continue;
            };
            if let Some(value) = version.value() {
                let row_bytes = key.0.len() + value.len();
                if !page.rows.is_empty() && page_bytes + row_bytes > limit.bytes {
                    page.resume = Some(key);
                    break;
                }
                page_bytes += row_bytes;
                page.rows.push((key.clone(), value.to_vec()));
            }
            next = past(&mut walker, &key)?;
        }
        Ok(page)
    }

    /// Versions up to `at.timestamp`, all of them, as stored: a piece of a snapshot of at most `bytes_max` bytes (but at least one
    /// version). Begins after `resume`; ends when the chunk's `resume` is `None`.
    pub fn export(&self, at: &Meta, resume: Option<Vec<u8>>, bytes_max: usize) -> Result<ExportChunk, StoreError> {
        self.check_gc(at.timestamp)?;
        self.read("export", |table| {
            let from = resume.unwrap_or_default();
            let bound = if from.is_empty() { Bound::Unbounded } else { Bound::Excluded(&from[..]) };
            let mut walker = Walker::new(&self.place, table, bound)?;
            let mut chunk = ChunkWriter::new(&from);
            let (mut last, mut last_wanted) = (None, None);
            while let Some(version) = walker.next()? {
                if last.is_some() && walker.steps > self.steps_max {
                    return Ok(chunk.finish(last));
                }
                if version.timestamp <= at.timestamp {
                    if !chunk.fits(version.stored_key(), version.stored(), bytes_max) {
                        // Not `last`: so that later versions, which another replica may lack, do not show in the chunks.
                        return Ok(chunk.finish(last_wanted));
                    }
                    chunk.push(version.stored_key(), version.stored());
                    last_wanted = Some(version.stored_key().to_vec());
                }
                last = Some(version.stored_key().to_vec());
            }
            Ok(chunk.finish(None))
        })
    }

    /// Begins to receive a snapshot, which will replace the file at `path`.
    pub fn begin_import(
        disk: Arc<dyn Disk>,
        path: &str,
        options: &StoreOptions,
        shard: ShardId,
    ) -> Result<Import, StoreError> {
        Import::begin(disk, path, options, shard)
    }

    /// Verifies every page of the file. Reads all of it, with no other call beside it; what was applied so far becomes durable.
    pub fn scrub(&self) -> Result<(), StoreError> {
        let _writer = self.writer();
        let mut database = self.database.write().expect("no holder panics: redb's panics are caught");
        self.place.catch_write("scrub", || {
            let database = database.as_mut().expect("open until dropped");
            match database.check_integrity() {
                Ok(true) => Ok(()),
                Ok(false) => Err(self.place.damaged("pages do not match their checksums")),
                Err(e) => Err(self.place.redb("scrub", e)),
            }
        })
    }

    /// Closes cleanly: what was applied becomes durable. Dropping does the same, and says nothing of a failure.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.close_database()
    }

    /// From now on every call fails and nothing reaches the file, whoever holds this store: it was removed or given up.
    pub(crate) fn kill(&self) {
        self.place.kill();
    }

    /// From now on nothing reaches the file, whoever holds this store: it was replaced. Reads go on.
    pub(crate) fn retire(&self) {
        // Whoever writes just now comes to an end first.
        let _writer = self.writer();
        self.place.retire();
    }

    fn close_database(&mut self) -> Result<(), StoreError> {
        let database = self.database.get_mut().expect("no holder panics: redb's panics are caught").take();
        database.map_or(Ok(()), |database| self.place.close(database))
    }

    fn check_gc(&self, at: Timestamp) -> Result<(), StoreError> {
        let threshold = self.state().meta.gc_threshold;
        if at < threshold { Err(StoreError::BelowGc { at, threshold }) } else { Ok(()) }
    }

    /// Runs one read in a transaction of its own (T3).
    fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&DataTable) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.place.check_readable()?;
        self.place.catch(what, || {
            self.with_database(|database| {
                let txn = database.begin_read().map_err(|e| self.place.redb(what, e))?;
                let table = txn.open_table(DATA).map_err(|e| self.place.redb(what, e))?;
                work(&table)
            })
        })
    }

    pub(crate) fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().expect("no writer panics: redb's panics are caught");
        work(database.as_ref().expect("open until dropped"))
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().expect("no holder panics: redb's panics are caught")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics: it only copies")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.close_database().is_err() {
            mark!("store: closing failed");
        }
    }
}

/// Takes the meta over one entry, and returns what the entry writes.
fn advance(meta: &mut Meta, index: LogIndex, term: Term, payload: &[u8]) -> Result<Option<WriteSet>, StoreError> {
    if index != meta.applied.next() || term < meta.applied_term {
        let (applied, applied_term) = (meta.applied, meta.applied_term);
        return Err(StoreError::NotContiguous { applied, applied_term, index, term });
    }
    let entry = Entry::decode(payload).map_err(|source| StoreError::Entry { index, source })?;
    meta.applied = index;
    meta.applied_term = term;
    let writes = match entry {
        Entry::Noop => None,
        Entry::Commit { request: _, catalog, wall_ms, writes } => {
            if !writes.is_sorted_by(|a, b| a.key < b.key) {
                // Still deterministic: of two writes of a key the later one stands.
                unexpected!("store: an entry's writes are not in order of key");
            }
            meta.timestamp = meta.timestamp.after(wall_ms);
            let catalog_key = Key::catalog_version();
            if writes.iter().any(|write| write.key == catalog_key) {
                meta.catalog = meta.catalog.max(CatalogVersion(catalog.0.saturating_add(1)));
            }
            Some(writes)
        }
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&meta.state_hash);
    for number in [index.0, term.0, meta.timestamp.0] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(payload);
    meta.state_hash = *hasher.finalize().as_bytes();
    Ok(writes)
}

fn read_meta(place: &Place, database: &Database, shard: ShardId) -> Result<Meta, StoreError> {
    let failed = |e: redb::Error| place.redb("read meta", e);
    let txn = database.begin_read().map_err(|e| failed(e.into()))?;
    let table = txn.open_table(META).map_err(|e| failed(e.into()))?;
    txn.open_table(DATA).map_err(|e| failed(e.into()))?;
    let row = table.get(META_KEY).map_err(|e| failed(e.into()))?;
    let row = row.ok_or_else(|| place.damaged("it has no meta row"))?;
    let bad = |e: tenet_types::CodecError| place.damaged(format!("meta row: {e}"));
    let found = Meta::format(row.value()).map_err(bad)?;
    if found != META_FORMAT {
        return Err(StoreError::Version { path: place.path.clone(), what: "meta", found, known: META_FORMAT });
    }
    let meta = Meta::decode(row.value()).map_err(bad)?;
    if meta.shard != shard {
        return Err(StoreError::WrongShard { path: place.path.clone(), expected: shard, found: meta.shard });
    }
    Ok(meta)
}

/// From a version of `key`: the newest one at or before `at`, or, when there is none, the first version of the next key.
fn newest<'t>(
    walker: &mut Walker<'t>,
    version: Version<'t>,
    key: &Key,
    at: Timestamp,
) -> Result<Option<Version<'t>>, StoreError> {
    let mut version = Some(version);
    for near in 1.. {
        match &version {
            Some(newer) if newer.key() == key.0 && newer.timestamp > at => {}
            _ => break,
        }
        if near == NEAR_STEPS {
            mark!("store: scan searched over newer versions");
            walker.seek(Bound::Included(&key.at(at)))?;
        }
        version = walker.next()?;
    }
    Ok(version)
}

/// From within the versions of `key`: the first version of the next key.
fn past<'t>(walker: &mut Walker<'t>, key: &Key) -> Result<Option<Version<'t>>, StoreError> {
    let mut version = walker.next()?;
    for near in 1.. {
        match &version {
            Some(older) if older.key() == key.0 => {}
            _ => break,
        }
        if near == NEAR_STEPS {
            mark!("store: scan searched over older versions");
            walker.seek(Bound::Excluded(&key.at(Timestamp::ZERO)))?;
        }
        version = walker.next()?;
    }
    Ok(version)
}
