//! The transaction and its readers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use tenet_shard::{CommitRequest, ReadAt, ShardClient, ShardError, Target};
use tenet_types::{CatalogVersion, Key, RequestId, Span, TXN_BYTES_MAX, Timestamp, Write, WriteSet};

use crate::reads::Reads;

/// Greatest size of rows kept after they were read by key, so that reading a row and then changing it asks the shard once.
const SEEN_BYTES_MAX: usize = 64 * 1024;

/// What an entry costs beside its writes, and what a write costs beside its key and value, at most (see [`tenet_types::Entry`]).
const ENTRY_OVERHEAD_BYTES: usize = 64;
const WRITE_OVERHEAD_BYTES: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxnError {
    /// The buffer of writes would exceed [`TXN_BYTES_MAX`]. The write was not taken.
    #[error("the transaction's writes exceed {TXN_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Shard(#[from] ShardError),
}

/// When a page of a scan may end.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    pub rows: usize,
    pub bytes: usize,
}

impl Default for PageLimit {
    /// Small enough for a frame between nodes, large enough that the request does not matter.
    fn default() -> PageLimit {
        PageLimit { rows: 1024, bytes: 256 * 1024 }
    }
}

/// A part of a scan's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In order of key. May be empty although the scan goes on.
    pub rows: Vec<(Key, Vec<u8>)>,
    /// Where to go on: the first key not looked at. `None` at the span's end.
    pub resume: Option<Key>,
}

type Writes = BTreeMap<Key, Option<Vec<u8>>>;

/// See the crate's head.
pub struct Transaction {
    session: Arc<Session>,
    request: RequestId,
    /// Copied on write while a [`Reader`] still looks at it.
    writes: Arc<Writes>,
    /// Encoded size of `writes`, at most.
    bytes: usize,
}

/// Reads on a transaction's behalf, seeing its writes as they were when the reader was made: a statement does not see its
/// own effects. Cheap to clone; may outlive the borrow of the transaction, so that results can stream.
#[derive(Clone)]
pub struct Reader {
    session: Arc<Session>,
    writes: Arc<Writes>,
}

/// What a transaction and its readers share.
struct Session {
    client: Arc<dyn ShardClient>,
    target: Target,
    snapshot: OnceLock<Timestamp>,
    /// Held across the first read, so that two concurrent ones cannot choose two snapshots (T1).
    first: tokio::sync::Mutex<()>,
    reads: Mutex<Tracked>,
}

#[derive(Default)]
struct Tracked {
    reads: Reads,
    /// Rows read by key at the snapshot, which cannot change.
    seen: BTreeMap<Key, Option<Vec<u8>>>,
    seen_bytes: usize,
}

impl Transaction {
    /// Sends nothing. `request` must be new: it is the commit's name for ever.
    pub fn begin(client: Arc<dyn ShardClient>, target: Target, request: RequestId) -> Transaction {
        let session = Session {
            client,
            target,
            snapshot: OnceLock::new(),
            first: tokio::sync::Mutex::new(()),
            reads: Mutex::default(),
        };
        Transaction { session: Arc::new(session), request, writes: Arc::default(), bytes: ENTRY_OVERHEAD_BYTES }
    }

    pub fn target(&self) -> Target {
        self.session.target
    }

    /// Of the first read; `None` before it.
    pub fn snapshot(&self) -> Option<Timestamp> {
        self.session.snapshot.get().copied()
    }

    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// See [`Reader`].
    pub fn reader(&self) -> Reader {
        Reader { session: self.session.clone(), writes: self.writes.clone() }
    }

    /// Rows by key, in the order of `keys`; `None` where there is none.
    pub async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, TxnError> {
        self.session.get(&self.writes, keys).await
    }

    /// One page of the span's rows. Go on from `resume`.
    pub async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, TxnError> {
        self.session.scan(&self.writes, span, limit).await
    }

    /// Replaces or makes a row.
    pub fn put(&mut self, key: Key, value: Vec<u8>) -> Result<(), TxnError> {
        self.write(key, Some(value))
    }

    /// Removes a row; nothing happens if there is none.
    pub fn delete(&mut self, key: Key) -> Result<(), TxnError> {
        self.write(key, None)
    }

    /// Takes writes that were made elsewhere.
    pub fn apply(&mut self, writes: impl IntoIterator<Item = Write>) -> Result<(), TxnError> {
        writes.into_iter().try_for_each(|write| self.write(write.key, write.value))
    }

    fn write(&mut self, key: Key, value: Option<Vec<u8>>) -> Result<(), TxnError> {
        let old_bytes = self.writes.get(&key).map_or(0, |old| write_bytes(&key, old));
        let bytes = self.bytes - old_bytes + write_bytes(&key, &value);
        if bytes > TXN_BYTES_MAX {
            return Err(TxnError::TooLarge);
        }
        self.bytes = bytes;
        Arc::make_mut(&mut self.writes).insert(key, value);
        Ok(())
    }

    /// Commits. `None` if nothing was written: then nothing is sent, since a snapshot is a consistent moment by itself.
    /// One request; one more before it if nothing was ever read, because validation needs a snapshot (T3).
    pub async fn commit(self) -> Result<Option<Timestamp>, TxnError> {
        if !self.has_writes() {
            return Ok(None);
        }
        let session = &self.session;
        let version = Key::catalog_version();
        if session.snapshot.get().is_none() {
            session.get(&Writes::new(), std::slice::from_ref(&version)).await?;
        }
        let snapshot = *session.snapshot.get().expect("a read has just set it");
        let reads = {
            let mut tracked = session.reads.lock().expect("no holder panics");
            tracked.reads.add_key(&version);
            tracked.reads.to_read_set()
        };
        let writes: WriteSet =
            Arc::unwrap_or_clone(self.writes).into_iter().map(|(key, value)| Write { key, value }).collect();
        let catalog = session.target.catalog.unwrap_or(CatalogVersion(0));
        let commit = CommitRequest { request: self.request, snapshot, reads, catalog, writes };
        Ok(Some(session.client.commit(session.target, commit).await?))
    }
}

impl Reader {
    pub fn snapshot(&self) -> Option<Timestamp> {
        self.session.snapshot.get().copied()
    }

    /// See [`Transaction::get`].
    pub async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, TxnError> {
        self.session.get(&self.writes, keys).await
    }

    /// See [`Transaction::scan`].
    pub async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, TxnError> {
        self.session.scan(&self.writes, span, limit).await
    }
}

impl Session {
    async fn get(&self, writes: &Writes, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, TxnError> {
        let mut values: Vec<Option<Option<Vec<u8>>>> = {
            let tracked = self.reads.lock().expect("no holder panics");
            keys.iter().map(|key| writes.get(key).or_else(|| tracked.seen.get(key)).cloned()).collect()
        };
        let wanted: Vec<Key> =
            keys.iter().zip(&values).filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect();
        if !wanted.is_empty() {
            let (at, first) = self.moment().await;
            let reply = self.client.get(self.target, at, wanted.clone()).await?;
            if reply.values.len() != wanted.len() {
                return Err(ShardError::Damaged("a reply with too few or too many values".to_owned()).into());
            }
            self.settle(at, reply.at)?;
            drop(first);
            let mut tracked = self.reads.lock().expect("no holder panics");
            for (key, value) in wanted.iter().zip(&reply.values) {
                tracked.reads.add_key(key);
                let bytes = key.0.len() + value.as_ref().map_or(0, Vec::len);
                if tracked.seen_bytes + bytes <= SEEN_BYTES_MAX && !tracked.seen.contains_key(key) {
                    tracked.seen_bytes += bytes;
                    tracked.seen.insert(key.clone(), value.clone());
                }
            }
            let mut replied = reply.values.into_iter();
            for value in values.iter_mut().filter(|value| value.is_none()) {
                *value = Some(replied.next().expect("as many as were wanted"));
            }
        }
        Ok(values.into_iter().map(|value| value.expect("own, seen, or asked for")).collect())
    }

    async fn scan(&self, writes: &Writes, span: &Span, limit: PageLimit) -> Result<Page, TxnError> {
        if span.is_empty() {
            return Ok(Page { rows: Vec::new(), resume: None });
        }
        let (at, first) = self.moment().await;
        let reply = self.client.scan(self.target, at, span.clone(), limit.bytes, limit.rows).await?;
        self.settle(at, reply.at)?;
        drop(first);
        let looked_at =
            Span { start: span.start.clone(), end: reply.resume.clone().unwrap_or_else(|| span.end.clone()) };
        let honest = reply.rows.iter().all(|(key, _)| looked_at.contains(key))
            && reply.resume.as_ref().is_none_or(|resume| span.contains(resume));
        if !honest {
            return Err(ShardError::Damaged("a reply with keys that were not asked for".to_owned()).into());
        }
        self.reads.lock().expect("no holder panics").reads.add_span(looked_at.clone());
        Ok(Page { rows: overlay(reply.rows, writes, &looked_at), resume: reply.resume })
    }

    /// When to read: at the snapshot, or, once, at the latest moment; then the guard keeps other readers waiting for it.
    async fn moment(&self) -> (ReadAt, Option<tokio::sync::MutexGuard<'_, ()>>) {
        if let Some(snapshot) = self.snapshot.get() {
            return (ReadAt::Snapshot(*snapshot), None);
        }
        let guard = self.first.lock().await;
        match self.snapshot.get() {
            Some(snapshot) => (ReadAt::Snapshot(*snapshot), None),
            None => (ReadAt::Latest, Some(guard)),
        }
    }

    /// Takes the moment of the first reply as the snapshot; a later one must name the same (T1).
    fn settle(&self, asked: ReadAt, replied: Timestamp) -> Result<(), TxnError> {
        let snapshot = match asked {
            ReadAt::Latest => *self.snapshot.get_or_init(|| replied),
            ReadAt::Snapshot(snapshot) => snapshot,
        };
        if snapshot == replied {
            return Ok(());
        }
        Err(ShardError::Damaged(format!("a reply at {replied} to a read at {snapshot}")).into())
    }
}

fn write_bytes(key: &Key, value: &Option<Vec<u8>>) -> usize {
    WRITE_OVERHEAD_BYTES + key.0.len() + value.as_ref().map_or(0, Vec::len)
}

/// The rows of `span` as they look with the writes applied.
fn overlay(rows: Vec<(Key, Vec<u8>)>, writes: &Writes, span: &Span) -> Vec<(Key, Vec<u8>)> {
    let mut own = writes.range(span.start.clone()..span.end.clone()).peekable();
    if own.peek().is_none() {
        return rows;
    }
    let mut merged: BTreeMap<Key, Vec<u8>> = rows.into_iter().collect();
    for (key, value) in own {
        match value {
            Some(value) => merged.insert(key.clone(), value.clone()),
            None => merged.remove(key),
        };
    }
    merged.into_iter().collect()
}
