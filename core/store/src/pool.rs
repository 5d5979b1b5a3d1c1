//! A node's open stores: at most so many, so that ten thousand idle shards cost next to nothing.
//!
//! A store is opened when it is asked for. When there are too many, the least recently used ones that nobody holds are
//! checkpointed and closed. The bound is soft: a store in use is never closed under its user, so that the pool may exceed
//! its bound by what is in use at one moment.
//!
//! Locks: the map's is held for look-ups only, never during I/O; a cell's is held while its shard's file is opened, closed,
//! removed or replaced. Whoever holds a cell's lock only *tries* another's: no cycle of waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use tenet_seam::Disk;
use tenet_types::{ShardId, mark};

use crate::backend::Place;
use crate::transfer::{Import, new_path, sync_folder_of};
use crate::{Meta, Store, StoreError, StoreOptions};

/// Where the stores live in the data folder.
const FOLDER: &str = "shards";

/// Least cache of one store, in bytes, however many share the node's.
const STORE_CACHE_BYTES_MIN: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Most stores open at a time, those in use beyond it apart.
    pub stores_max: usize,
    /// What all open stores together may cache, in bytes. Each gets an equal share.
    pub cache_bytes: usize,
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions { stores_max: 256, cache_bytes: 256 * 1024 * 1024 }
    }
}

pub struct StorePool {
    disk: Arc<dyn Disk>,
    stores_max: usize,
    store_options: StoreOptions,
    /// Whether leftovers of an earlier run were removed.
    swept: Mutex<bool>,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_shard: BTreeMap<ShardId, Slot>,
    /// Counts uses: a clock for the order of use.
    uses: u64,
}

#[derive(Default)]
struct Slot {
    cell: Arc<Cell>,
    last_use: u64,
    open: bool,
}

type Cell = Mutex<Option<Arc<Store>>>;

impl StorePool {
    pub fn new(disk: Arc<dyn Disk>, options: PoolOptions) -> StorePool {
        assert!(options.stores_max > 0, "a pool of no stores");
        let cache_bytes = (options.cache_bytes / options.stores_max).max(STORE_CACHE_BYTES_MIN);
        StorePool {
            disk,
            stores_max: options.stores_max,
            store_options: StoreOptions { cache_bytes },
            swept: Mutex::new(false),
            slots: Mutex::default(),
        }
    }

    /// The shard's file, in the data folder.
    pub fn path(shard: ShardId) -> String {
        format!("{FOLDER}/{}.redb", shard.0)
    }

    /// The shard's store, opened if need be. Let it go soon: it is not closed while it is held.
    pub fn get(&self, shard: ShardId) -> Result<Arc<Store>, StoreError> {
        self.with_cell(shard, |cell| {
            if cell.is_none() {
                self.sweep()?;
                self.make_room(shard)?;
                let store = Store::open(self.disk.clone(), &Self::path(shard), &self.store_options, shard)?;
                *cell = Some(Arc::new(store));
            }
            Ok(cell.clone().expect("just filled"))
        })
    }

    /// Makes what is applied to the shard durable; see [`Store::checkpoint`].
    pub fn checkpoint(&self, shard: ShardId) -> Result<Meta, StoreError> {
        match self.get(shard)?.checkpoint() {
            // Replaced by a snapshot just now: the new one is durable, or says why not.
            Err(StoreError::Dead { .. }) => self.get(shard)?.checkpoint(),
            other => other,
        }
    }

    /// Makes the shard's store, empty and durable.
    pub fn create(&self, shard: ShardId) -> Result<Arc<Store>, StoreError> {
        self.with_cell(shard, |cell| {
            self.sweep()?;
            self.make_room(shard)?;
            let store = Arc::new(Store::create(self.disk.clone(), &Self::path(shard), &self.store_options, shard)?);
            *cell = Some(store.clone());
            Ok(store)
        })
    }

    /// Deletes the shard's file, durably. Nothing happens if there is none. Whoever still holds the store gets
    /// [`StoreError::Dead`].
    pub fn remove(&self, shard: ShardId) -> Result<(), StoreError> {
        self.with_cell(shard, |cell| {
            self.sweep()?;
            if let Some(store) = cell.take() {
                store.kill();
            }
            let place = Place::new(&Self::path(shard));
            let gone = gone_path(&place.path);
            if self.disk.exists(&place.path).map_err(|e| place.io("look", e))? {
                self.disk.rename(&place.path, &gone).map_err(|e| place.io("rename", e))?;
            }
            // Also when the file was not there: an earlier attempt may have stopped before its sync.
            if self.disk.exists(FOLDER).map_err(|e| place.io("look", e))? {
                sync_folder_of(&*self.disk, &place)?;
            }
            for leftover in [gone, new_path(&place.path)] {
                if self.disk.exists(&leftover).map_err(|e| place.io("look", e))? {
                    self.disk.remove(&leftover).map_err(|e| place.io("remove", e))?;
                }
            }
            Ok(())
        })
    }

    /// Begins to receive a snapshot of the shard. What is there serves on until [`StorePool::install`].
    pub fn begin_import(&self, shard: ShardId) -> Result<Import, StoreError> {
        self.sweep()?;
        Import::begin(self.disk.clone(), &Self::path(shard), &self.store_options, shard)
    }

    /// Puts a received snapshot in the place of the shard's store. Whoever still holds the old one can go on reading it; writes to it
    /// are [`StoreError::Dead`].
    pub fn install(&self, shard: ShardId, import: Import, meta: &Meta) -> Result<(), StoreError> {
        self.with_cell(shard, |cell| {
            import.finish(meta)?;
            if let Some(old) = cell.take() {
                old.retire();
            }
            Ok(())
        })
    }

    /// Whether the shard has a file here.
    pub fn exists(&self, shard: ShardId) -> Result<bool, StoreError> {
        let place = Place::new(&Self::path(shard));
        self.disk.exists(&place.path).map_err(|e| place.io("look", e))
    }

    /// Shards that have a file here, in order.
    pub fn list(&self) -> Result<Vec<ShardId>, StoreError> {
        self.sweep()?;
        let mut shards: Vec<ShardId> = self.names()?.iter().filter_map(|name| shard_of(name)).collect();
        shards.sort();
        Ok(shards)
    }

    /// How many stores are open.
    pub fn open_count(&self) -> usize {
        self.slots().by_shard.values().filter(|slot| slot.open).count()
    }

    /// Checkpoints and closes every store that nobody holds: for a clean end. The first error, after all were tried.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut result = Ok(());
        for (shard, cell) in self.open_cells() {
            if let Err(error) = self.close_idle(shard, &cell)
                && result.is_ok()
            {
                result = Err(error);
            }
        }
        result
    }

    /// Runs `work` on the shard's cell, alone, and keeps the map in step with what it did.
    fn with_cell<T>(
        &self,
        shard: ShardId,
        work: impl FnOnce(&mut Option<Arc<Store>>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let cell = {
            let mut slots = self.slots();
            slots.uses += 1;
            let uses = slots.uses;
            let slot = slots.by_shard.entry(shard).or_default();
            slot.last_use = uses;
            slot.cell.clone()
        };
        let mut store = cell.lock().expect("no holder panics: redb's panics are caught");
        let was_open = store.is_some();
        let result = work(&mut store);
        if store.is_none() || !was_open {
            self.note(shard, &cell, store.is_some());
        }
        result
    }

    /// Notes, with the cell locked, whether it holds a store. An empty cell that nobody else waits for leaves the map.
    fn note(&self, shard: ShardId, cell: &Arc<Cell>, open: bool) {
        let mut slots = self.slots();
        if let Some(slot) = slots.by_shard.get_mut(&shard) {
            slot.open = open;
            let waiting = Arc::strong_count(cell) > 2; // the map's and our caller's
            if !open && !waiting {
                slots.by_shard.remove(&shard);
            }
        }
    }

    /// Open cells, the least recently used first.
    fn open_cells(&self) -> Vec<(ShardId, Arc<Cell>)> {
        let slots = self.slots();
        let mut open: Vec<_> = slots.by_shard.iter().filter(|(_, slot)| slot.open).collect();
        open.sort_by_key(|(_, slot)| slot.last_use);
        open.into_iter().map(|(shard, slot)| (*shard, slot.cell.clone())).collect()
    }

    /// Closes stores until there is room for the one of `shard`, or all others are in use.
    fn make_room(&self, shard: ShardId) -> Result<(), StoreError> {
        let mut count = self.open_count();
        if count < self.stores_max {
            return Ok(());
        }
        for (other, cell) in self.open_cells() {
            if other == shard {
                continue;
            }
            match self.close_idle(other, &cell) {
                Ok(true) => count -= 1,
                Ok(false) => {}
                // Nothing that this node says may rest on its disk any more.
                Err(error @ StoreError::SyncFailed { .. }) => return Err(error),
                // That shard's trouble. Its store is dead and stays, so that its user learns of it: nothing but a new start helps.
                Err(_) => mark!("store: a store could not be checkpointed to make room"),
            }
            if count < self.stores_max {
                return Ok(());
            }
        }
        mark!("store: pool beyond its bound, all in use");
        Ok(())
    }

    /// Checkpoints and closes a store unless somebody holds it. Whether it did.
    fn close_idle(&self, shard: ShardId, cell: &Arc<Cell>) -> Result<bool, StoreError> {
        let mut store = match cell.try_lock() {
            Ok(store) => store,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Poisoned(_)) => unreachable!("no holder panics: redb's panics are caught"),
        };
        // Others get it only through this cell, which we hold: if it is ours alone now, it stays so.
        let Some(idle) = store.take_if(|store| Arc::strong_count(store) == 1) else { return Ok(false) };
        if let Err(error) = idle.checkpoint() {
            *store = Some(idle);
            return Err(error);
        }
        let closed = Arc::into_inner(idle).expect("it was ours alone").close();
        // Only now: a cell that has left the map holds nobody back who opens the file.
        self.note(shard, cell, false);
        mark!("store: pool closed an idle store");
        closed.map(|()| true)
    }

    /// Removes, once, what a crash left: stores not finished, and removed ones not yet deleted.
    fn sweep(&self) -> Result<(), StoreError> {
        let mut swept = self.swept.lock().expect("no holder panics");
        if !*swept {
            let place = Place::new(FOLDER);
            for name in self.names()? {
                if name.ends_with(&new_path("")) || name.ends_with(&gone_path("")) {
                    mark!("store: swept a leftover file");
                    self.disk.remove(&format!("{FOLDER}/{name}")).map_err(|e| place.io("remove", e))?;
                }
            }
            *swept = true;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let place = Place::new(FOLDER);
        if !self.disk.exists(FOLDER).map_err(|e| place.io("look", e))? {
            return Ok(Vec::new());
        }
        self.disk.list(FOLDER).map_err(|e| place.io("list", e))
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().expect("no holder panics: it only looks up")
    }
}

/// Where a removed store waits for its deletion.
fn gone_path(path: &str) -> String {
    format!("{path}.gone")
}

fn shard_of(name: &str) -> Option<ShardId> {
    let shard = ShardId(name.strip_suffix(".redb")?.parse().ok()?);
    (StorePool::path(shard) == format!("{FOLDER}/{name}")).then_some(shard)
}
