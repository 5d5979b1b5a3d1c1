//! The only way out: time, luck, tasks, network and disk, as five small traits in one cheap-to-clone [`Seam`].
//!
//! `server` implements them over tokio and the operating system, `sim` over a deterministic scheduler; everything between
//! is the same code. There is no third way out: `core/clippy.toml` bans the others, each with its reason.
//!
//! Invariants
//!  S1  Nothing below `server` and `sim` learns the time, draws a number, starts a task, opens a connection or touches a
//!      file except through here.
//!  S2  `Disk` and `File` are synchronous and are called only inside [`Seam::blocking`] or [`Seam::brief`].
//!  S3  Clocks decide only *when*, never *whether*: no promise rests on a wall clock or on two clocks agreeing.
//!
//! `tokio::sync` is fine everywhere (it needs no reactor); `select!` is always `biased`.

mod clock;
mod disk;
mod entropy;
mod fake_disk;
mod net;
mod tasks;

/// Test doubles for the seam.
pub mod fake {
    pub use crate::fake_disk::{CrashReport, FakeDisk, Pause};
}

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

pub use clock::{Clock, Moment};
pub use disk::{Disk, File, Open, SECTOR_BYTES};
pub use entropy::{Draw, Entropy, Random};
pub use futures::future::BoxFuture;
pub use net::{Address, ByteStream, Listener, Net, Stream};
pub use tasks::{Task, TaskControl, Tasks};

/// Everything outside, in one handle.
#[derive(Clone)]
pub struct Seam {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub tasks: Arc<dyn Tasks>,
    pub net: Arc<dyn Net>,
    pub disk: Arc<dyn Disk>,
}

/// The time was over before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl Seam {
    /// A stream of luck of its own; the same name and seed give the same numbers.
    pub fn random(&self, name: &str) -> Random {
        self.entropy.stream(name)
    }

    /// Starts a task. It is detached: dropping the handle lets it run.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> Task {
        self.tasks.spawn(name, Box::pin(future))
    }

    /// Runs synchronous work that may last: commits, scans, checkpoints. A thread pool in production.
    ///
    /// Not cancelled when the future is dropped. A panic of `work` is a panic here. After a simulated crash point it never
    /// returns (S2 is what makes crash points possible).
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (slot, work) = into_slot(work);
        self.tasks.blocking(work).await;
        take(&slot)
    }

    /// Runs a bounded synchronous read in place: shorter than a hop to another thread.
    pub async fn brief<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (slot, work) = into_slot(work);
        self.tasks.brief(work).await;
        take(&slot)
    }

    pub async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    /// The future's result, if it is ready within `duration`; otherwise it is dropped. The future is asked first.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut sleep = self.clock.sleep(duration);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    /// Ends this node at once, as a crash would: for states in which going on could break a promise (a failed sync, a
    /// diverged replica). Production logs `reason` and exits; a simulated node is killed.
    pub async fn halt(&self, reason: String) -> Infallible {
        self.tasks.halt(reason).await
    }
}

type Slot<T> = Arc<Mutex<Option<T>>>;

/// Lets a closure with a result pass through a trait object that knows none.
fn into_slot<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Slot<T>, Box<dyn FnOnce() + Send + 'static>) {
    let slot: Slot<T> = Arc::new(Mutex::new(None));
    let filled = slot.clone();
    (slot, Box::new(move || *filled.lock().expect("written once, here") = Some(work())))
}

fn take<T>(slot: &Slot<T>) -> T {
    slot.lock().expect("written once, before the future resolved").take().expect("the work ran")
}
