//! A small world for these tests: one thread, one virtual clock, tasks polled in an order drawn from a seed, streams in memory,
//! and the fake disk. The real simulator is in `sim`; this one lets the shard be tested without anything above it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use tenet_seam::{
    Address, Clock, Disk, Draw, Entropy, Listener, Moment, Net, Random, Seam, Stream, Task, TaskControl, Tasks,
};
use tokio::sync::oneshot;

/// Virtual time and all tasks.
pub struct World {
    now: AtomicU64,
    timers: Mutex<BTreeMap<(u64, u64), Waker>>,
    ready: Mutex<Vec<Arc<Cell>>>,
    next: AtomicU64,
    luck: Mutex<u64>,
}

struct Cell {
    world: Arc<World>,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queued: AtomicBool,
    alive: Arc<AtomicBool>,
    aborted: AtomicBool,
}

impl Wake for Cell {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.world.ready.lock().unwrap().push(self.clone());
        }
    }
}

impl World {
    pub fn new(seed: u64) -> Arc<World> {
        Arc::new(World {
            now: AtomicU64::new(1),
            timers: Mutex::default(),
            ready: Mutex::default(),
            next: AtomicU64::new(0),
            luck: Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        })
    }

    pub fn draw(&self) -> u64 {
        let mut state = self.luck.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn spawn(self: &Arc<Self>, alive: &Arc<AtomicBool>, future: BoxFuture<'static, ()>) -> Task {
        let cell = Arc::new(Cell {
            world: self.clone(),
            future: Mutex::new(Some(future)),
            queued: AtomicBool::new(false),
            alive: alive.clone(),
            aborted: AtomicBool::new(false),
        });
        cell.clone().wake();
        Task::new(Box::new(Control(cell)))
    }

    pub fn sleep(self: &Arc<Self>, duration: Duration) -> BoxFuture<'static, ()> {
        let until = self.now.load(Ordering::SeqCst) + duration.as_nanos() as u64;
        Box::pin(Sleep { world: self.clone(), until, id: None })
    }

    /// Runs until `done` says so, or nothing can happen any more, or virtual time is over.
    pub fn run_until(self: &Arc<Self>, limit: Duration, done: impl Fn() -> bool) {
        let end = self.now.load(Ordering::SeqCst) + limit.as_nanos() as u64;
        while !done() {
            let cell = {
                let mut ready = self.ready.lock().unwrap();
                if ready.is_empty() {
                    None
                } else {
                    let at = self.draw() as usize % ready.len();
                    Some(ready.swap_remove(at))
                }
            };
            let Some(cell) = cell else {
                let mut timers = self.timers.lock().unwrap();
                // What is due later stays, for the next run.
                let Some(timer) = timers.first_entry().filter(|timer| timer.key().0 <= end) else { return };
                let ((at, _), waker) = timer.remove_entry();
                drop(timers);
                self.now.fetch_max(at, Ordering::SeqCst);
                waker.wake();
                continue;
            };
            cell.queued.store(false, Ordering::SeqCst);
            if !cell.alive.load(Ordering::SeqCst) || cell.aborted.load(Ordering::SeqCst) {
                drop(cell.future.lock().unwrap().take());
                continue;
            }
            let waker = Waker::from(cell.clone());
            let mut slot = cell.future.lock().unwrap();
            if let Some(future) = slot.as_mut()
                && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
            {
                *slot = None;
            }
        }
    }
}

struct Control(Arc<Cell>);

impl TaskControl for Control {
    fn abort(&self) {
        self.0.aborted.store(true, Ordering::SeqCst);
        self.0.clone().wake();
    }
}

struct Sleep {
    world: Arc<World>,
    until: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.world.now.load(Ordering::SeqCst) >= self.until {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or_else(|| self.world.next.fetch_add(1, Ordering::SeqCst));
        self.id = Some(id);
        self.world.timers.lock().unwrap().insert((self.until, id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.world.timers.lock().unwrap().remove(&(self.until, id));
        }
    }
}

/// One boot of one node.
pub struct Boot {
    pub world: Arc<World>,
    pub alive: Arc<AtomicBool>,
    pub halted: Arc<Mutex<Option<String>>>,
    /// Blocking work waits as long as this is set: the disk answers nothing and fails nothing.
    pub hanging: Arc<AtomicBool>,
}

impl Clock for Boot {
    fn now(&self) -> Moment {
        Moment(self.world.now.load(Ordering::SeqCst))
    }

    fn wall_us(&self) -> u64 {
        1_700_000_000_000_000 + self.world.now.load(Ordering::SeqCst) / 1000
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.world.sleep(duration)
    }
}

struct Luck(Arc<World>);

impl Draw for Luck {
    fn next_u64(&mut self) -> u64 {
        self.0.draw()
    }
}

impl Entropy for Boot {
    fn stream(&self, _name: &str) -> Random {
        Random::new(Box::new(Luck(self.world.clone())))
    }
}

impl Tasks for Boot {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        self.world.spawn(&self.alive, future)
    }

    /// As on a thread of its own: it goes on when whoever waits for it does not.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let latency = Duration::from_micros(50 + self.world.draw() % 2000);
        let (world, hanging) = (self.world.clone(), self.hanging.clone());
        let (end, ended) = oneshot::channel();
        let thread = async move {
            world.sleep(latency).await;
            while hanging.load(Ordering::SeqCst) {
                world.sleep(Duration::from_millis(5)).await;
            }
            work();
            end.send(()).ok();
        };
        self.world.spawn(&self.alive, Box::pin(thread));
        Box::pin(async move {
            if ended.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn brief(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async move { work() })
    }

    fn halt(&self, reason: String) -> BoxFuture<'static, Infallible> {
        self.halted.lock().unwrap().get_or_insert(reason);
        self.alive.store(false, Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
}

/// Links are made by the tests.
pub struct NoNet;

impl Net for NoNet {
    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn connect(&self, _: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

pub fn seam(boot: &Arc<Boot>, disk: Arc<dyn Disk>) -> Seam {
    Seam { clock: boot.clone(), entropy: boot.clone(), tasks: boot.clone(), net: Arc::new(NoNet), disk }
}
