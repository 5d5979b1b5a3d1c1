//! The front end over streams in memory and a real engine, whose shards are in memory too.

mod codec;
mod driver;
mod extended;
mod hostile;
mod interrupt;
#[path = "../../txn/tests/memory/mod.rs"]
mod memory;
mod pipeline;
mod seam;
mod simple;
mod startup;
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tenet_shard::{CommitRequest, GetReply, ReadAt, ScanReply, ShardClient, ShardError, Target};
use tenet_sql::{DatabaseHandle, Databases, Engine, EngineOptions, SqlError};
use tenet_types::{Key, RangeEpoch, ShardId, Span, TenantId, Timestamp};
use tokio::sync::{Notify, watch};

use crate::{FrontOptions, serve};
use memory::Memory;
use seam::{Knocker, World};
use wire::{Line, Wire};

/// Bytes that a test's stream holds; small, so that everything arrives in pieces and writers wait.
const PIPE_BYTES: usize = 100;

struct Server {
    world: Arc<World>,
    door: Knocker,
    shards: Arc<Gated>,
    stop: watch::Sender<bool>,
    engine: watch::Sender<Option<Arc<Engine>>>,
    /// Whether `serve` has returned.
    ended: Arc<AtomicBool>,
}

impl Server {
    fn start() -> Server {
        Server::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut FrontOptions)) -> Server {
        let world = World::new();
        let seam = world.seam();
        let (door, listener) = seam::door();
        let shards = Arc::new(Gated::default());
        let databases = Arc::new(Names::default());
        let engine = Engine::new(seam.clone(), shards.clone(), databases, EngineOptions::default());
        let (engine, slot) = watch::channel(Some(engine));
        let (stop, receiver) = watch::channel(false);
        let mut options = FrontOptions { stop: receiver, ..FrontOptions::default() };
        change(&mut options);
        let ended = Arc::new(AtomicBool::new(false));
        let (ends, serving) = (ended.clone(), serve(seam.clone(), listener, slot, options));
        seam.spawn("server", async move {
            serving.await;
            ends.store(true, Ordering::SeqCst);
        });
        Server { world, door, shards, stop, engine, ended }
    }

    fn run<T>(&self, test: impl Future<Output = T>) -> T {
        self.world.run(test)
    }

    /// A connection to the database `postgres`, ready.
    async fn client(&self) -> Wire {
        Wire::open(self.door.connect(PIPE_BYTES), "postgres").await
    }

    /// A client with a table `t (id int primary key, v text)` and rows 1 to `rows`.
    async fn client_with_table(&self, rows: usize) -> Wire {
        let mut client = self.client().await;
        let created = client.query("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        assert_eq!(created, ["CommandComplete CREATE TABLE", "ReadyForQuery I"]);
        for first in (1..=rows).step_by(1000) {
            let values: Vec<String> = (first..=rows.min(first + 999)).map(|id| format!("({id}, 'row {id}')")).collect();
            let inserted = client.query(&format!("INSERT INTO t VALUES {}", values.join(", "))).await;
            assert!(inserted[0].starts_with("CommandComplete INSERT"), "{inserted:?}");
        }
        client
    }

    /// What another connection sees in the table.
    async fn ids(&self) -> Vec<Line> {
        let mut other = self.client().await;
        let lines = other.query("SELECT id FROM t ORDER BY id").await;
        lines.iter().filter_map(|line| line.strip_prefix("DataRow ").map(str::to_owned)).collect()
    }
}

/// A transcript: what was sent, by name, and what came back.
fn transcript(steps: &[(&str, Vec<Line>)]) -> String {
    let step = |(sent, lines): &(&str, Vec<Line>)| {
        let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
        format!("> {sent}\n{}", lines.join("\n"))
    };
    steps.iter().map(step).collect::<Vec<_>>().join("\n")
}

/// Shards in memory whose commits and reads can be held up.
#[derive(Default)]
struct Gated {
    memory: Memory,
    commits: Gate,
    reads: Gate,
}

#[derive(Default)]
struct Gate {
    closed: AtomicBool,
    opened: Notify,
    someone_waits: Notify,
}

impl Gate {
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    /// Ready when somebody stands before the closed gate.
    async fn someone_waits(&self) {
        self.someone_waits.notified().await;
    }

    async fn pass(&self) {
        loop {
            let opened = self.opened.notified();
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            self.someone_waits.notify_one();
            opened.await;
        }
    }
}

#[async_trait]
impl ShardClient for Gated {
    async fn get(&self, target: Target, at: ReadAt, keys: Vec<Key>) -> Result<GetReply, ShardError> {
        self.reads.pass().await;
        self.memory.get(target, at, keys).await
    }

    async fn scan(
        &self,
        target: Target,
        at: ReadAt,
        span: Span,
        limit_bytes: usize,
        limit_rows: usize,
    ) -> Result<ScanReply, ShardError> {
        self.reads.pass().await;
        self.memory.scan(target, at, span, limit_bytes, limit_rows).await
    }

    async fn commit(&self, target: Target, commit: CommitRequest) -> Result<Timestamp, ShardError> {
        self.commits.pass().await;
        self.memory.commit(target, commit).await
    }
}

/// Databases by name; `postgres` and `acme` at first.
struct Names {
    names: Mutex<BTreeMap<String, u64>>,
}

impl Default for Names {
    fn default() -> Names {
        Names { names: Mutex::new([("postgres".to_owned(), 1), ("acme".to_owned(), 2)].into()) }
    }
}

#[async_trait]
impl Databases for Names {
    async fn open(&self, name: &str) -> Result<DatabaseHandle, SqlError> {
        let id = *self.names.lock().unwrap().get(name).ok_or_else(|| SqlError::no_database(name))?;
        let (tenant, home) = (TenantId(id), ShardId(id + 1));
        Ok(DatabaseHandle { name: name.to_owned(), tenant, home, epoch: RangeEpoch(1) })
    }

    async fn create(&self, name: &str) -> Result<(), SqlError> {
        let mut names = self.names.lock().unwrap();
        let id = names.len() as u64 + 1;
        match names.insert(name.to_owned(), id) {
            None => Ok(()),
            Some(_) => Err(SqlError::database_exists(name)),
        }
    }

    async fn drop(&self, name: &str) -> Result<(), SqlError> {
        self.names.lock().unwrap().remove(name).map(drop).ok_or_else(|| SqlError::no_database(name))
    }

    async fn list(&self) -> Result<Vec<String>, SqlError> {
        Ok(self.names.lock().unwrap().keys().cloned().collect())
    }
}
