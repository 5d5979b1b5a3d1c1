use std::io;
use std::sync::Arc;

/// What a disk writes as a whole, in bytes: a torn write is torn between sectors.
pub const SECTOR_BYTES: usize = 512;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It must exist.
    Existing,
    /// It must not exist; it begins empty.
    New,
}

/// One node's data folder. Paths are relative to it, with `/` between names.
///
/// Synchronous, and called only inside [`crate::Seam::blocking`] or [`crate::Seam::brief`].
///
/// What may go wrong: any call may fail, or the node may die inside it. What then survives: bytes covered by a returned
/// [`File::sync`], and names covered by a returned [`Disk::sync_dir`] of their folder. Anything later may survive whole, in
/// part (torn at any sector, in any order), or not at all. A disk may be full ([`io::ErrorKind::StorageFull`]). After a
/// failed sync the state of unsynced bytes is unknown, for ever: only a restart helps.
pub trait Disk: Send + Sync {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>>;

    /// Makes the folder and those above it. Nothing happens if it exists.
    fn create_dir(&self, path: &str) -> io::Result<()>;

    /// Names in the folder (files and folders), sorted. The data folder itself is `""`.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    fn exists(&self, path: &str) -> io::Result<bool>;

    /// Atomic; replaces a file at `target`. Durable after [`Disk::sync_dir`].
    fn rename(&self, source: &str, target: &str) -> io::Result<()>;

    /// Removes a file. Open handles keep working.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Makes the names in the folder durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
}

/// An open file: positioned reads and writes.
pub trait File: Send + Sync {
    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` from `offset`; an error if the file ends before.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Writes all of `data` at `offset`, growing the file if needed.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Cuts the file, or grows it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes all written bytes, and the length, durable.
    fn sync(&self) -> io::Result<()>;
}
