//! A store on its way to another replica: chunks of a snapshot, and the store made of them.
//!
//! ```text
//! chunk   = format (1) · last (1: 1 in the final chunk) · from (bytes) · to (bytes) · version … · crc32c (4) over all before
//! version = stored key (bytes) · stored value (bytes), both exactly as in the data table
//! ```
//! (`bytes` is a varint length and so many bytes.) `from` is the stored key after which the chunk begins, `to` the one it has looked at
//! last; the next chunk's `from` is this one's `to`, so that a lost or repeated chunk is seen. The first `from` and the last `to` are
//! empty. The meta travels beside the chunks.

use std::sync::Arc;

use redb::{Database, Durability};
use tenet_seam::{Disk, Open};
use tenet_types::{CodecError, Key, Reader, ShardId, Timestamp, Writer, mark};

use crate::backend::{Place, open_database};
use crate::store::{DATA, META, META_KEY};
use crate::{Meta, StoreError, StoreOptions, version};

/// Version of the chunk format that this code writes.
pub const CHUNK_FORMAT: u8 = 1;

/// Most bytes that a varint length takes here (2^35 and less).
const LENGTH_BYTES_MAX: usize = 5;

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportChunk {
    pub bytes: Vec<u8>,
    /// Where the next chunk begins; `None` after the last.
    pub resume: Option<Vec<u8>>,
}

pub(crate) struct ChunkWriter {
    from: Vec<u8>,
    versions: Writer,
}

impl ChunkWriter {
    pub fn new(from: &[u8]) -> ChunkWriter {
        ChunkWriter { from: from.to_vec(), versions: Writer::new() }
    }

    /// Whether the chunk stays within `bytes_max` with this version; the first one always fits.
    pub fn fits(&self, stored_key: &[u8], stored: &[u8], bytes_max: usize) -> bool {
        let frame = 2 + 4 + 4 * LENGTH_BYTES_MAX + self.from.len() + stored_key.len(); // `to` will be this key
        self.versions.is_empty() || frame + self.versions.len() + stored_key.len() + stored.len() <= bytes_max
    }

    pub fn push(&mut self, stored_key: &[u8], stored: &[u8]) {
        self.versions.bytes(stored_key);
        self.versions.bytes(stored);
    }

    /// `to` is `None` at the end of the store.
    pub fn finish(self, to: Option<Vec<u8>>) -> ExportChunk {
        let mut w = Writer::with_capacity(self.versions.len() + 64);
        w.u8(CHUNK_FORMAT);
        w.u8(u8::from(to.is_none()));
        w.bytes(&self.from);
        w.bytes(to.as_deref().unwrap_or_default());
        w.raw(self.versions.as_slice());
        let crc = crc32c::crc32c(w.as_slice());
        w.u32(crc);
        ExportChunk { bytes: w.into_vec(), resume: to }
    }
}

/// A chunk taken apart.
pub(crate) struct Chunk<'a> {
    last: bool,
    from: &'a [u8],
    to: &'a [u8],
    /// Stored keys and stored values.
    pub versions: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Chunk<'a> {
    pub fn decode(bytes: &'a [u8]) -> Result<Chunk<'a>, CodecError> {
        let short = CodecError { what: "chunk", offset: 0 };
        let (body, crc) = bytes.split_at_checked(bytes.len().wrapping_sub(4)).ok_or(short)?;
        if crc32c::crc32c(body).to_le_bytes() != crc {
            return Err(CodecError { what: "chunk checksum", offset: body.len() });
        }
        let mut r = Reader::new(body);
        if r.u8("chunk format")? != CHUNK_FORMAT {
            return Err(CodecError { what: "chunk format", offset: 0 });
        }
        let last = match r.u8("last")? {
            0 => false,
            1 => true,
            _ => return Err(CodecError { what: "last", offset: 1 }),
        };
        let from = r.bytes("from")?;
        let to = r.bytes("to")?;
        if last != to.is_empty() {
            return Err(r.error("to"));
        }
        let mut versions = Vec::new();
        while !r.is_empty() {
            versions.push((r.bytes("stored key")?, r.bytes("stored value")?));
        }
        Ok(Chunk { last, from, to, versions })
    }
}

/// A store in the making, under `<path>.new`. Dropped unfinished it leaves that file, which the next attempt replaces and the
/// pool removes at its start.
pub struct Import {
    disk: Arc<dyn Disk>,
    path: String,
    place: Arc<Place>,
    shard: ShardId,
    database: Option<Database>,
    /// `to` of the last chunk.
    position: Vec<u8>,
    complete: bool,
    newest: Timestamp,
}

impl Import {
    pub(crate) fn begin(
        disk: Arc<dyn Disk>,
        path: &str,
        options: &StoreOptions,
        shard: ShardId,
    ) -> Result<Import, StoreError> {
        let place = Place::new(&new_path(path));
        make_folders(&*disk, &place)?;
        if disk.exists(&place.path).map_err(|e| place.io("look", e))? {
            disk.remove(&place.path).map_err(|e| place.io("remove", e))?;
        }
        let database = Some(open_database(&*disk, &place, Open::New, options.cache_bytes)?);
        let path = path.to_owned();
        let (position, complete, newest) = (Vec::new(), false, Timestamp::ZERO);
        Ok(Import { disk, path, place, shard, database, position, complete, newest })
    }

    /// Takes the next chunk. [`StoreError::Chunk`] if it is damaged or another one is next: then nothing of it was taken.
    pub fn push(&mut self, chunk_bytes: &[u8]) -> Result<(), StoreError> {
        let refused = |what: String| StoreError::Chunk { path: self.path.clone(), what };
        let chunk = Chunk::decode(chunk_bytes).map_err(|e| refused(e.to_string()))?;
        if self.complete {
            return Err(refused("the last chunk was here already".into()));
        }
        if chunk.from != self.position {
            return Err(refused("another chunk is the next one".into()));
        }
        let mut newest = self.newest;
        let mut before = chunk.from;
        for (stored_key, stored) in &chunk.versions {
            let (_, timestamp, _) = version::decode(stored_key, stored).ok_or_else(|| {
                refused(format!("a version's checksum does not match (key {})", Key(stored_key.to_vec())))
            })?;
            if *stored_key <= before {
                return Err(refused("its versions are out of order".into()));
            }
            newest = newest.max(timestamp);
            before = stored_key;
        }
        if !chunk.last && before > chunk.to {
            return Err(refused("its versions reach beyond its end".into()));
        }
        self.place.catch_write("import", || self.write(&chunk.versions, None))?;
        self.position = chunk.to.to_vec();
        self.complete = chunk.last;
        self.newest = newest;
        Ok(())
    }

    /// Whether [`Import::finish`] would take it with this meta: it is whole, and its meta is not another's.
    pub fn check(&self, meta: &Meta) -> Result<(), StoreError> {
        let refused = |what| Err(StoreError::Snapshot { path: self.path.clone(), what });
        if !self.complete {
            return refused("its last chunk is missing");
        }
        if meta.shard != self.shard {
            return refused("its meta is another shard's");
        }
        if self.newest > meta.timestamp {
            return refused("it has versions later than its meta");
        }
        Ok(())
    }

    /// Gives the store its meta and its name. When this returns it is durable at `path`; before, what was there stands. An open store
    /// of the old file goes on reading that one and must be let go (see `StorePool::install`).
    pub fn finish(mut self, meta: &Meta) -> Result<(), StoreError> {
        self.check(meta)?;
        self.place.catch_write("import", || self.write(&[], Some(meta)))?;
        if let Some(database) = self.database.take() {
            self.place.close(database)?;
        }
        self.disk.rename(&self.place.path, &self.path).map_err(|e| self.place.io("rename", e))?;
        sync_folder_of(&*self.disk, &self.place)
    }

    pub(crate) fn finish_empty(mut self) -> Result<(), StoreError> {
        self.complete = true;
        let meta = Meta::new(self.shard);
        self.finish(&meta)
    }

    /// One transaction; durable if it is the last one, with the meta.
    fn write(&self, versions: &[(&[u8], &[u8])], meta: Option<&Meta>) -> Result<(), StoreError> {
        let failed = |e: redb::Error| self.place.redb("import", e);
        let database = self.database.as_ref().expect("open until finished");
        let mut txn = database.begin_write().map_err(|e| failed(e.into()))?;
        let durability = if meta.is_some() { Durability::Immediate } else { Durability::None };
        txn.set_durability(durability).map_err(|e| failed(e.into()))?;
        txn.set_quick_repair(meta.is_some());
        {
            let mut data = txn.open_table(DATA).map_err(|e| failed(e.into()))?;
            for (stored_key, stored) in versions {
                data.insert(*stored_key, *stored).map_err(|e| failed(e.into()))?;
            }
            if let Some(meta) = meta {
                let mut table = txn.open_table(META).map_err(|e| failed(e.into()))?;
                table.insert(META_KEY, &meta.encode()[..]).map_err(|e| failed(e.into()))?;
            }
        }
        txn.commit().map_err(|e| failed(e.into()))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        if let Some(database) = self.database.take() {
            // Unfinished: nothing of it is wanted.
            self.place.kill();
            if self.place.close(database).is_err() {
                mark!("store: redb panicked while an import was dropped");
            }
        }
    }
}

/// Where a store is made before it gets its name.
pub(crate) fn new_path(path: &str) -> String {
    format!("{path}.new")
}

/// Makes the folders above the place, durably.
fn make_folders(disk: &dyn Disk, place: &Place) -> Result<(), StoreError> {
    let folder = folder_of(&place.path);
    if folder.is_empty() {
        return Ok(());
    }
    disk.create_dir(folder).map_err(|e| place.io("make folder", e))?;
    let mut above = folder;
    while !above.is_empty() {
        above = folder_of(above);
        disk.sync_dir(above).map_err(|e| place.io("sync folder", e))?;
    }
    Ok(())
}

/// Makes the names beside the place durable.
pub(crate) fn sync_folder_of(disk: &dyn Disk, place: &Place) -> Result<(), StoreError> {
    disk.sync_dir(folder_of(&place.path)).map_err(|source| StoreError::SyncFailed { path: place.path.clone(), source })
}

fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}
