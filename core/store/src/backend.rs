//! redb over the seam's `File`, and what redb says translated into our errors.
//!
//! A [`Backend`] can be killed, or retired so that it only reads: from then on no write passes, so that `Database::drop`, which
//! commits what is in memory, cannot write into a file that was given up, removed or replaced (T5).

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use redb::{Builder, Database, StorageBackend};
use tenet_seam::{Disk, File, Open};
use tenet_types::mark;

use crate::StoreError;

/// What every redb file begins with.
const REDB_MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";

/// The file format of redb 4.
const REDB_FORMAT: u8 = 3;

/// Which file, and whether it may still be used. Shared by a store and its backend.
#[derive(Debug)]
pub(crate) struct Place {
    pub path: String,
    life: AtomicU8,
    sync_failed: AtomicBool,
}

const ALIVE: u8 = 0;
const RETIRED: u8 = 1;
const DEAD: u8 = 2;

impl Place {
    pub fn new(path: &str) -> Arc<Place> {
        Arc::new(Place { path: path.to_owned(), life: AtomicU8::new(ALIVE), sync_failed: AtomicBool::new(false) })
    }

    /// Nothing reaches the file any more, and nothing is read.
    pub fn kill(&self) {
        self.life.fetch_max(DEAD, Ordering::Relaxed);
    }

    /// Nothing reaches the file any more.
    pub fn retire(&self) {
        self.life.fetch_max(RETIRED, Ordering::Relaxed);
    }

    pub fn check_readable(&self) -> Result<(), StoreError> {
        if self.life.load(Ordering::Relaxed) < DEAD { Ok(()) } else { Err(self.dead()) }
    }

    pub fn check_writable(&self) -> Result<(), StoreError> {
        if self.life.load(Ordering::Relaxed) == ALIVE { Ok(()) } else { Err(self.dead()) }
    }

    fn dead(&self) -> StoreError {
        StoreError::Dead { path: self.path.clone() }
    }

    pub fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: what.into(), key: None }
    }

    pub fn io(&self, what: &'static str, source: io::Error) -> StoreError {
        let path = self.path.clone();
        if self.sync_failed.load(Ordering::Relaxed) {
            return StoreError::SyncFailed { path, source };
        }
        match source.kind() {
            io::ErrorKind::StorageFull => StoreError::Full { path, source },
            io::ErrorKind::NotFound => StoreError::Missing { path },
            // A page number beyond the end: the file was cut, or the number is damaged.
            io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => StoreError::Io { path, what, source },
        }
    }

    pub fn redb(&self, what: &'static str, error: impl Into<redb::Error>) -> StoreError {
        match error.into() {
            redb::Error::Io(source) => self.io(what, source),
            redb::Error::PreviousIo | redb::Error::DatabaseClosed | redb::Error::LockPoisoned(_) => self.dead(),
            other => self.damaged(format!("{what}: {other}")),
        }
    }

    /// Runs `work`, which calls redb. redb panics on some damaged files; here that is damage like any other, and the end of
    /// this handle.
    pub fn catch<T>(&self, what: &'static str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            mark!("store: redb panicked");
            self.kill();
            Err(self.damaged(format!("{what}: redb panicked: {}", panic_text(&*panic))))
        })
    }

    /// As [`Place::catch`], for work that writes: whatever fails, the handle is dead (T5).
    pub fn catch_write<T>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_writable()?;
        let result = self.catch(what, work);
        if result.is_err() {
            mark!("store: a write failed");
            self.kill();
        }
        result
    }

    /// Closes a database. Unless the place is retired or dead, what is in memory becomes durable, if redb can; it does not say.
    pub fn close(&self, database: Database) -> Result<(), StoreError> {
        let failed_before = self.sync_failed.load(Ordering::Relaxed);
        self.catch("close", || {
            drop(database);
            Ok(())
        })?;
        if self.sync_failed.load(Ordering::Relaxed) && !failed_before {
            let source = io::Error::other("on closing");
            return Err(StoreError::SyncFailed { path: self.path.clone(), source });
        }
        Ok(())
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// Opens the redb database in the file at the place, or begins one in a new file.
pub(crate) fn open_database(
    disk: &dyn Disk,
    place: &Arc<Place>,
    how: Open,
    cache_bytes: usize,
) -> Result<Database, StoreError> {
    let file = disk.open(&place.path, how).map_err(|e| place.io("open", e))?;
    if how == Open::Existing {
        let mut magic = [0; REDB_MAGIC.len()];
        let len = file.len().map_err(|e| place.io("length", e))?;
        if len >= magic.len() as u64 {
            file.read_at(0, &mut magic).map_err(|e| place.io("read", e))?;
        }
        if magic != REDB_MAGIC {
            return Err(place.damaged("it is not a redb file"));
        }
    }
    place.catch_write("open", || {
        Builder::new().set_cache_size(cache_bytes).create_with_backend(Backend { file, place: place.clone() }).map_err(
            |e| match e {
                redb::DatabaseError::UpgradeRequired(found) => {
                    StoreError::Version { path: place.path.clone(), what: "redb", found, known: REDB_FORMAT }
                }
                e => place.redb("open", e),
            },
        )
    })
}

struct Backend {
    file: Arc<dyn File>,
    place: Arc<Place>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backend({})", self.place.path)
    }
}

impl Backend {
    fn readable(&self) -> io::Result<&dyn File> {
        self.place.check_readable().map_err(io::Error::other)?;
        Ok(&*self.file)
    }

    fn writable(&self) -> io::Result<&dyn File> {
        self.place.check_writable().map_err(io::Error::other)?;
        Ok(&*self.file)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.readable()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.readable()?.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writable()?.sync().inspect_err(|_| {
            self.place.sync_failed.store(true, Ordering::Relaxed);
            self.place.kill();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable()?.write_at(offset, data)
    }
}
