//! A seam for one test: one thread, virtual time that moves only when everything waits, streams in memory.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use tenet_seam::{
    Address, Clock, Disk, Draw, Entropy, File, Listener, Moment, Net, Open, Random, Seam, Stream, Task, TaskControl,
    Tasks,
};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Microseconds from 1970 to the moment at which every test begins: 2024-02-29 12:00:00.
pub const WALL_START_US: u64 = 1_709_208_000_000_000;

#[derive(Default)]
struct Timers {
    now_ns: u64,
    next: u64,
    waiting: BTreeMap<(u64, u64), Arc<Timer>>,
}

#[derive(Default)]
struct Timer {
    fired: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What the fakes share, and the executor that runs them.
#[derive(Default)]
pub struct World {
    timers: Mutex<Timers>,
    spawned: Mutex<Vec<BoxFuture<'static, ()>>>,
    drawn: AtomicU64,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl World {
    pub fn new() -> Arc<World> {
        Arc::new(World::default())
    }

    pub fn seam(self: &Arc<World>) -> Seam {
        Seam {
            clock: Arc::new(Fake(self.clone())),
            entropy: Arc::new(Fake(self.clone())),
            tasks: Arc::new(Fake(self.clone())),
            net: Arc::new(Nothing),
            disk: Arc::new(Nothing),
        }
    }

    /// Runs the future and everything spawned, until the future is ready. Panics when all of it waits for nothing.
    pub fn run<T>(self: &Arc<World>, test: impl Future<Output = T>) -> T {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut test = pin!(test);
        let mut tasks: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            while woken.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(done) = test.as_mut().poll(&mut cx) {
                    return done;
                }
                loop {
                    tasks.extend(self.spawned.lock().unwrap().drain(..));
                    match tasks.poll_next_unpin(&mut cx) {
                        Poll::Ready(Some(())) => {}
                        Poll::Ready(None) | Poll::Pending => break,
                    }
                }
                if !self.spawned.lock().unwrap().is_empty() {
                    woken.0.store(true, Ordering::SeqCst);
                }
            }
            assert!(self.fire_next(), "everything waits for ever");
        }
    }

    /// Moves time to the next timer.
    fn fire_next(&self) -> bool {
        let timer = {
            let mut timers = self.timers.lock().unwrap();
            let Some(((at, _), timer)) = timers.waiting.pop_first() else { return false };
            timers.now_ns = timers.now_ns.max(at);
            timer
        };
        timer.fired.store(true, Ordering::SeqCst);
        if let Some(waker) = timer.waker.lock().unwrap().take() {
            waker.wake();
        }
        true
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.timers.lock().unwrap().now_ns)
    }
}

struct Fake(Arc<World>);

impl Clock for Fake {
    fn now(&self) -> Moment {
        Moment(self.0.timers.lock().unwrap().now_ns)
    }

    fn wall_us(&self) -> u64 {
        WALL_START_US + self.now().0 / 1000
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let timer = Arc::new(Timer::default());
        let mut timers = self.0.timers.lock().unwrap();
        let at = timers.now_ns + u64::try_from(duration.as_nanos()).unwrap();
        let id = timers.next;
        timers.next += 1;
        timers.waiting.insert((at, id), timer.clone());
        let alarm = Alarm { world: self.0.clone(), key: (at, id), timer };
        std::future::poll_fn(move |cx| {
            *alarm.timer.waker.lock().unwrap() = Some(cx.waker().clone());
            if alarm.timer.fired.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .boxed()
    }
}

/// A dropped sleep no longer moves time.
struct Alarm {
    world: Arc<World>,
    key: (u64, u64),
    timer: Arc<Timer>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.world.timers.lock().unwrap().waiting.remove(&self.key);
    }
}

impl Entropy for Fake {
    fn stream(&self, _: &str) -> Random {
        Random::new(Box::new(Fake(self.0.clone())))
    }
}

impl Draw for Fake {
    fn next_u64(&mut self) -> u64 {
        let count = self.0.drawn.fetch_add(1, Ordering::SeqCst) + 1;
        count.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

struct Control(AbortHandle);

impl TaskControl for Control {
    fn abort(&self) {
        self.0.abort();
    }
}

impl Tasks for Fake {
    fn spawn(&self, _: &'static str, future: BoxFuture<'static, ()>) -> Task {
        let (handle, registration) = AbortHandle::new_pair();
        self.0.spawned.lock().unwrap().push(Abortable::new(future, registration).map(drop).boxed());
        Task::new(Box::new(Control(handle)))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        async move { work() }.boxed()
    }

    fn brief(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        async move { work() }.boxed()
    }

    fn halt(&self, reason: String) -> BoxFuture<'static, std::convert::Infallible> {
        panic!("halted: {reason}")
    }
}

/// The front end needs neither network nor disk.
struct Nothing;

impl Net for Nothing {
    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        panic!("no network")
    }

    fn connect(&self, _: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        panic!("no network")
    }
}

impl Disk for Nothing {
    fn open(&self, _: &str, _: Open) -> io::Result<Arc<dyn File>> {
        panic!("no disk")
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        panic!("no disk")
    }

    fn list(&self, _: &str) -> io::Result<Vec<String>> {
        panic!("no disk")
    }

    fn exists(&self, _: &str) -> io::Result<bool> {
        panic!("no disk")
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        panic!("no disk")
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        panic!("no disk")
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        panic!("no disk")
    }
}

/// Where test clients connect.
pub struct Door {
    arrivals: tokio::sync::Mutex<mpsc::UnboundedReceiver<DuplexStream>>,
}

#[derive(Clone)]
pub struct Knocker(mpsc::UnboundedSender<DuplexStream>);

pub fn door() -> (Knocker, Box<dyn Listener>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Knocker(sender), Box::new(Door { arrivals: tokio::sync::Mutex::new(receiver) }))
}

impl Knocker {
    /// A new connection; each direction holds so many bytes before its writer must wait.
    pub fn connect(&self, pipe_bytes: usize) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(pipe_bytes);
        self.0.send(theirs).expect("the server listens");
        ours
    }
}

impl Listener for Door {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Address)>> {
        async {
            match self.arrivals.lock().await.recv().await {
                Some(stream) => Ok((Box::new(stream) as Stream, Address("test:1".to_owned()))),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn address(&self) -> Address {
        Address("test:5432".to_owned())
    }
}
