//! Shards in memory: the plainest thing that keeps the promises of [`ShardClient`]. The model behind the tests of the
//! transaction, and the ground on which the tests of SQL stand (they include this file).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::task::Poll;

use async_trait::async_trait;
use tenet_shard::{CommitRequest, GetReply, ReadAt, ScanReply, ShardClient, ShardError, Target};
use tenet_types::{CatalogVersion, Key, ShardId, Span, Timestamp};

#[derive(Default)]
pub struct Memory {
    shards: Mutex<BTreeMap<ShardId, Shard>>,
}

#[derive(Default)]
pub struct Shard {
    versions: BTreeMap<Key, Vec<(Timestamp, Option<Vec<u8>>)>>,
    pub now: Timestamp,
    pub catalog: CatalogVersion,
    /// Every commit in order, with its timestamp.
    pub commits: Vec<(Timestamp, CommitRequest)>,
    pub requests: Requests,
    /// No page has more rows.
    pub page_rows_max: Option<usize>,
    /// Each scan lets others run first, as a request to a real shard does.
    pub scans_wait: bool,
    /// The answers to the next commits, whatever they are: taken from the end.
    pub commit_answers: Vec<ShardError>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub gets: usize,
    pub scans: usize,
    pub commits: usize,
}

impl Memory {
    /// Looks into a shard, which begins empty.
    pub fn with<T>(&self, shard: ShardId, look: impl FnOnce(&mut Shard) -> T) -> T {
        look(self.shards.lock().unwrap().entry(shard).or_default())
    }
}

impl Shard {
    /// The row at a moment.
    pub fn get(&self, key: &Key, at: Timestamp) -> Option<Vec<u8>> {
        self.versions.get(key)?.iter().rev().find(|(ts, _)| *ts <= at)?.1.clone()
    }

    fn at(&self, target: Target, at: ReadAt) -> Result<Timestamp, ShardError> {
        if target.catalog.is_some_and(|catalog| catalog != self.catalog) {
            return Err(ShardError::CatalogChanged);
        }
        Ok(match at {
            ReadAt::Latest => self.now,
            ReadAt::Snapshot(at) => at,
        })
    }

    fn validate(&self, target: Target, commit: &CommitRequest) -> Result<(), ShardError> {
        if target.catalog.is_some_and(|catalog| catalog != self.catalog) {
            return Err(ShardError::CatalogChanged);
        }
        let later = self.commits.iter().filter(|(ts, _)| *ts > commit.snapshot);
        let mut written = later.flat_map(|(_, commit)| commit.writes.iter().map(|write| &write.key));
        let read =
            |key: &Key| commit.reads.keys.contains(key) || commit.reads.spans.iter().any(|span| span.contains(key));
        if written.any(read) { Err(ShardError::Conflict) } else { Ok(()) }
    }
}

#[async_trait]
impl ShardClient for Memory {
    async fn get(&self, target: Target, at: ReadAt, keys: Vec<Key>) -> Result<GetReply, ShardError> {
        self.with(target.shard, |shard| {
            shard.requests.gets += 1;
            let at = shard.at(target, at)?;
            Ok(GetReply { at, values: keys.iter().map(|key| shard.get(key, at)).collect() })
        })
    }

    async fn scan(
        &self,
        target: Target,
        at: ReadAt,
        span: Span,
        limit_bytes: usize,
        limit_rows: usize,
    ) -> Result<ScanReply, ShardError> {
        let mut waits = self.with(target.shard, |shard| shard.scans_wait);
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::take(&mut waits) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        self.with(target.shard, |shard| {
            shard.requests.scans += 1;
            let at = shard.at(target, at)?;
            let limit_rows = limit_rows.min(shard.page_rows_max.unwrap_or(usize::MAX));
            let (mut rows, mut bytes, mut resume) = (Vec::new(), 0, None);
            for key in shard.versions.range(span.start..span.end).map(|(key, _)| key) {
                if rows.len() >= limit_rows || bytes >= limit_bytes {
                    resume = Some(key.clone());
                    break;
                }
                if let Some(value) = shard.get(key, at) {
                    bytes += key.0.len() + value.len();
                    rows.push((key.clone(), value));
                }
            }
            Ok(ScanReply { at, rows, resume })
        })
    }

    async fn commit(&self, target: Target, commit: CommitRequest) -> Result<Timestamp, ShardError> {
        self.with(target.shard, |shard| {
            shard.requests.commits += 1;
            if let Some(answer) = shard.commit_answers.pop() {
                return Err(answer);
            }
            shard.validate(target, &commit)?;
            shard.now = shard.now.after(0);
            for write in &commit.writes {
                shard.versions.entry(write.key.clone()).or_default().push((shard.now, write.value.clone()));
                if write.key == Key::catalog_version() {
                    shard.catalog = CatalogVersion(commit.catalog.0 + 1);
                }
            }
            shard.commits.push((shard.now, commit));
            Ok(shard.now)
        })
    }
}
