//! The outside world of a session: a clock that stands still, luck that counts, databases in a map.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use tenet_seam::{
    Address, BoxFuture, Clock, Disk, Draw, Entropy, File, Listener, Moment, Net, Open, Random, Seam, Stream, Task,
    Tasks,
};
use tenet_types::{RangeEpoch, ShardId, TenantId};

use crate::{DatabaseHandle, Databases, SqlError};

/// 2024-01-02 03:04:05.678901 UTC.
const START_US: u64 = 1_704_164_645_678_901;

/// Time that moves only when it is told to.
#[derive(Clone, Default)]
pub struct FakeClock(Arc<Mutex<Time>>);

#[derive(Default)]
struct Time {
    passed: Duration,
    waiting: Vec<Waker>,
}

impl FakeClock {
    pub fn advance(&self, by: Duration) {
        let mut time = self.0.lock().unwrap();
        time.passed += by;
        time.waiting.drain(..).for_each(Waker::wake);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Moment {
        Moment(self.0.lock().unwrap().passed.as_nanos() as u64)
    }

    fn wall_us(&self) -> u64 {
        START_US + self.0.lock().unwrap().passed.as_micros() as u64
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let until = self.0.lock().unwrap().passed + duration;
        Box::pin(Sleep { clock: self.clone(), until })
    }
}

struct Sleep {
    clock: FakeClock,
    until: Duration,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.0.lock().unwrap();
        if time.passed >= self.until {
            return Poll::Ready(());
        }
        time.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

struct Counting(u64);

impl Draw for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Everything that SQL does not touch.
struct Nothing;

impl Entropy for Nothing {
    fn stream(&self, _: &str) -> Random {
        Random::new(Box::new(Counting(0)))
    }
}

impl Tasks for Nothing {
    fn spawn(&self, name: &'static str, _: BoxFuture<'static, ()>) -> Task {
        panic!("SQL starts no task, but {name}")
    }

    fn blocking(&self, _: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        panic!("SQL does not block")
    }

    fn brief(&self, _: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        panic!("SQL does not block")
    }

    fn halt(&self, reason: String) -> BoxFuture<'static, Infallible> {
        panic!("SQL does not halt the node: {reason}")
    }
}

impl Net for Nothing {
    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        panic!("SQL has no network")
    }

    fn connect(&self, _: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        panic!("SQL has no network")
    }
}

impl Disk for Nothing {
    fn open(&self, _: &str, _: Open) -> io::Result<Arc<dyn File>> {
        panic!("SQL has no disk")
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        panic!("SQL has no disk")
    }

    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        panic!("SQL has no disk")
    }

    fn exists(&self, _: &str) -> io::Result<bool> {
        panic!("SQL has no disk")
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        panic!("SQL has no disk")
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        panic!("SQL has no disk")
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        panic!("SQL has no disk")
    }
}

pub fn seam(clock: &FakeClock) -> Seam {
    Seam {
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(Nothing),
        tasks: Arc::new(Nothing),
        net: Arc::new(Nothing),
        disk: Arc::new(Nothing),
    }
}

/// Databases by name; each has the shard with its tenant's number plus one.
pub struct FakeDatabases(Mutex<(u64, BTreeMap<String, TenantId>)>);

impl Default for FakeDatabases {
    fn default() -> FakeDatabases {
        FakeDatabases(Mutex::new((1, BTreeMap::from([("postgres".to_owned(), TenantId(1))]))))
    }
}

#[async_trait]
impl Databases for FakeDatabases {
    async fn open(&self, name: &str) -> Result<DatabaseHandle, SqlError> {
        let tenant = *self.0.lock().unwrap().1.get(name).ok_or_else(|| SqlError::no_database(name))?;
        Ok(DatabaseHandle { name: name.to_owned(), tenant, home: ShardId(tenant.0 + 1), epoch: RangeEpoch(1) })
    }

    async fn create(&self, name: &str) -> Result<(), SqlError> {
        let mut databases = self.0.lock().unwrap();
        if databases.1.contains_key(name) {
            return Err(SqlError::database_exists(name));
        }
        databases.0 += 1;
        let tenant = TenantId(databases.0);
        databases.1.insert(name.to_owned(), tenant);
        Ok(())
    }

    async fn drop(&self, name: &str) -> Result<(), SqlError> {
        let removed = self.0.lock().unwrap().1.remove(name);
        removed.map(|_| ()).ok_or_else(|| SqlError::no_database(name))
    }

    async fn list(&self) -> Result<Vec<String>, SqlError> {
        Ok(self.0.lock().unwrap().1.keys().cloned().collect())
    }
}
