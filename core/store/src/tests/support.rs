//! The obvious store, a little luck, and logs drawn from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenet_seam::fake::FakeDisk;
use tenet_types::{
    CatalogVersion, Entry, IndexId, Key, KeyBuilder, LogIndex, RequestId, ShardId, Span, TableId, Term, Timestamp,
    Value, Write,
};

use crate::transfer::Chunk;
use crate::{Meta, Store, StoreError, StoreOptions, version};

pub const SHARD: ShardId = ShardId(7);
pub const PATH: &str = "shards/7.redb";

/// Small, so that redb writes and reads the disk within an apply.
pub const TIGHT: StoreOptions = StoreOptions { cache_bytes: 64 * 1024 };

pub type LogEntry = (LogIndex, Term, Arc<[u8]>);

/// Splitmix64.
#[derive(Clone)]
pub struct Luck(pub u64);

impl Luck {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What a store should hold after each entry of a log.
#[derive(Clone)]
pub struct Model {
    pub log: Vec<LogEntry>,
    /// By applied index; the first is of the empty store.
    pub metas: Vec<Meta>,
    pub versions: BTreeMap<(Key, Timestamp), Option<Vec<u8>>>,
}

impl Model {
    pub fn new() -> Model {
        Model { log: Vec::new(), metas: vec![Meta::new(SHARD)], versions: BTreeMap::new() }
    }

    pub fn meta(&self) -> &Meta {
        self.metas.last().unwrap()
    }

    pub fn last(&self) -> u64 {
        self.meta().applied.0
    }

    pub fn entries(&self, after: LogIndex) -> &[LogEntry] {
        &self.log[after.0 as usize..]
    }

    pub fn append(&mut self, entry: &Entry) {
        let before = self.meta();
        let payload = entry.encode();
        let index = before.applied.next();
        let term = Term(1 + index.0 / 10);
        let hash_before = before.state_hash;
        let mut meta = Meta { applied: index, applied_term: term, ..before.clone() };
        if let Entry::Commit { catalog, wall_ms, writes, .. } = entry {
            meta.timestamp = meta.timestamp.after(*wall_ms);
            for write in writes {
                if write.key == Key::catalog_version() {
                    meta.catalog = CatalogVersion(catalog.0 + 1);
                }
                self.versions.insert((write.key.clone(), meta.timestamp), write.value.clone());
            }
        }
        let numbers = [index.0, term.0, meta.timestamp.0].map(u64::to_le_bytes);
        let hashed = [&hash_before[..], &numbers.concat(), &payload].concat();
        meta.state_hash = *blake3::hash(&hashed).as_bytes();
        self.log.push((index, term, payload.into()));
        self.metas.push(meta);
    }

    /// Draws an entry over `key_count` keys.
    pub fn draw(&mut self, luck: &mut Luck, key_count: u64) {
        if luck.one_in(8) {
            return self.append(&Entry::Noop);
        }
        let mut writes = BTreeMap::new();
        for _ in 0..luck.range(0, 6) {
            let value = (!luck.one_in(4)).then(|| draw_value(luck));
            writes.insert(key(luck.below(key_count)), value);
        }
        if luck.one_in(10) {
            writes.insert(Key::catalog_version(), Some(vec![self.meta().catalog.0 as u8]));
        }
        // Clocks of different leaders go back and forth, and leap.
        let wall_ms = 1_000_000 + luck.below(50) + if luck.one_in(20) { 1 << 40 } else { 0 };
        self.append(&Entry::Commit {
            request: RequestId { session: u128::from(luck.next()), sequence: 1 },
            catalog: self.meta().catalog,
            wall_ms,
            writes: writes.into_iter().map(|(key, value)| Write { key, value }).collect(),
        });
    }

    pub fn get(&self, key: &Key, at: Timestamp) -> Option<(Timestamp, Vec<u8>)> {
        let range = (key.clone(), Timestamp::ZERO)..=(key.clone(), at);
        let ((_, timestamp), value) = self.versions.range(range).next_back()?;
        Some((*timestamp, value.clone()?))
    }

    pub fn scan(&self, span: &Span, at: Timestamp) -> Vec<(Key, Vec<u8>)> {
        let mut keys: Vec<&Key> = self.versions.keys().map(|(key, _)| key).filter(|key| span.contains(key)).collect();
        keys.dedup();
        keys.into_iter().filter_map(|key| Some((key.clone(), self.get(key, at)?.1))).collect()
    }

    /// Every version up to a time, in stored order.
    pub fn up_to(&self, at: Timestamp) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut stored: Vec<_> = self
            .versions
            .iter()
            .filter(|((_, timestamp), _)| *timestamp <= at)
            .map(|((key, timestamp), value)| (key.at(*timestamp), value.clone()))
            .collect();
        stored.sort();
        stored
    }
}

fn draw_value(luck: &mut Luck) -> Vec<u8> {
    let len = match luck.below(12) {
        0 => 0,
        1 => luck.range(2_000, 9_000),
        _ => luck.range(1, 120),
    };
    let byte = luck.next() as u8;
    (0..len).map(|at| byte.wrapping_add(at as u8)).collect()
}

/// One of many keys, of several shapes, none a prefix of another.
pub fn key(n: u64) -> Key {
    let builder = KeyBuilder::new(TableId(100 + n % 2), IndexId(1));
    match n % 3 {
        0 => builder.push(&Value::Int8(n as i64 - 10)).build(),
        1 => builder.push(&Value::Text("x".repeat(n as usize % 40))).push(&Value::Int4(n as i32)).build(),
        _ => builder.push(&Value::Null).push(&Value::Int2(n as i16)).build(),
    }
}

pub fn everything() -> Span {
    Span { start: Key(vec![]), end: Key(vec![0xff; 8]) }
}

/// A store that holds the model's log.
pub fn filled(disk: &FakeDisk, model: &Model, options: &StoreOptions) -> Store {
    let store = Store::create(disk.handle(), PATH, options, SHARD).unwrap();
    for batch in model.log.chunks(7) {
        store.apply(batch).unwrap();
    }
    assert_eq!(store.meta(), *model.meta());
    store
}

pub fn open(disk: &FakeDisk) -> Result<Store, StoreError> {
    Store::open(disk.handle(), PATH, &TIGHT, SHARD)
}

/// All chunks of an export.
pub fn export(store: &Store, at: &Meta, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut chunks = Vec::new();
    let mut resume = None;
    loop {
        let chunk = store.export(at, resume, bytes_max)?;
        chunks.push(chunk.bytes);
        resume = chunk.resume;
        if resume.is_none() {
            return Ok(chunks);
        }
    }
}

/// Every version in the store up to a time, as decoded from an export.
pub fn versions(store: &Store, at: &Meta) -> Result<Vec<(Vec<u8>, Option<Vec<u8>>)>, StoreError> {
    let chunks = export(store, at, 64 * 1024)?;
    let mut versions = Vec::new();
    for chunk in &chunks {
        for (stored_key, stored) in Chunk::decode(chunk).unwrap().versions {
            let (_, _, value) = version::decode(stored_key, stored).unwrap();
            versions.push((stored_key.to_vec(), value.map(<[u8]>::to_vec)));
        }
    }
    Ok(versions)
}

/// The store is exactly the model after the entry that its meta names (T1).
pub fn assert_is_model(store: &Store, model: &Model) {
    let meta = store.meta();
    let expected = model.metas.get(meta.applied.0 as usize).expect("no entry beyond the log was applied");
    assert_eq!(meta, *expected);
    let late = Meta { timestamp: Timestamp::MAX, ..meta.clone() };
    assert_eq!(versions(store, &late).unwrap(), model.up_to(meta.timestamp));
}
