//! Tasks on the scheduler's nodes, and synchronous work that takes virtual time.
//!
//! `blocking` in production is a pool of threads; here the closure runs in one piece on the only thread, at a moment between
//! its call and its return:
//! ```text
//! call ──── waits (drawn; a stalled disk) ──── closure ──── waits (what its disk operations last; a stall) ──── result
//!              killed here: it never ran           killed here: done, and nobody was told
//! ```
//! The first wait is long now and then, as long as a sync: what a sync makes durable is durable at some moment of it, late as
//! likely as early, and who promises before it returns must be found out.
//!
//! Invariants
//!  J1  A closure whose boot dies in it (its crash point) gives no result: its future never resolves, its panic is nobody's.
//!  J2  Work that has begun is not cancelled by dropping its future: as on a thread pool, it runs all the same.
//!  J3  A dead boot starts nothing.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use madsim::task::AbortHandle;
use tenet_seam::{Task, TaskControl, Tasks};

use crate::boot::{Boot, Death, bury};
use crate::clock::Timer;
use crate::digest::Kind;

/// A closure waits at most this long for its thread, in nanoseconds.
const QUEUE_NANOS_MAX: u64 = 100_000;

/// [`Tasks`] for one boot of a machine.
pub(crate) struct SimTasks {
    pub(crate) boot: Arc<Boot>,
}

impl Tasks for SimTasks {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) -> Task {
        if self.boot.is_dead() {
            bury(future);
            return Task::new(Box::new(Ended));
        }
        let number = self.boot.event(Kind::Spawn, 0, 0, 0, name.as_bytes());
        let task = self.boot.node.spawn(Living { boot: self.boot.clone(), name, future: Some(future) });
        Task::new(Box::new(Running { boot: self.boot.clone(), number, handle: task.abort_handle() }))
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let boot = self.boot.clone();
        let number = boot.event(Kind::WorkBegin, 0, 0, 0, &[]);
        let at = boot.world.now() + {
            let mut luck = boot.luck.lock().expect("no holder panics");
            let queued = luck.below(QUEUE_NANOS_MAX);
            queued + boot.machine.disk.early_nanos(&mut luck)
        };
        Box::pin(Work { boot, number, stage: Stage::Waiting { at, work }, timer: Timer::default() })
    }

    fn brief(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let boot = self.boot.clone();
        let number = boot.event(Kind::Brief, 0, 0, 0, &[]);
        let at = boot.world.now();
        Box::pin(Work { boot, number, stage: Stage::Brief { at, work }, timer: Timer::default() })
    }

    fn halt(&self, reason: String) -> BoxFuture<'static, Infallible> {
        self.boot.event(Kind::Halt, 0, 0, 0, reason.as_bytes());
        self.boot.die(Death::Halted { reason });
        Box::pin(std::future::pending())
    }
}

/// A task's future: what is left of it when its boot has died is buried, whatever its destructors do.
struct Living {
    boot: Arc<Boot>,
    name: &'static str,
    future: Option<BoxFuture<'static, ()>>,
}

impl Future for Living {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.boot.is_dead() {
            return Poll::Pending;
        }
        self.boot.world.count_poll(self.boot.who, self.name);
        self.future.as_mut().expect("there until dropped").as_mut().poll(cx)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        if self.boot.is_dead() {
            bury(self.future.take());
        }
    }
}

struct Running {
    boot: Arc<Boot>,
    number: u64,
    handle: AbortHandle,
}

impl TaskControl for Running {
    fn abort(&self) {
        if !self.boot.is_dead() {
            self.boot.event(Kind::Abort, self.number, 0, 0, &[]);
            self.handle.abort();
        }
    }
}

/// A task that a dead boot asked for.
struct Ended;

impl TaskControl for Ended {
    fn abort(&self) {}
}

struct Work {
    boot: Arc<Boot>,
    /// Index of the event that began it.
    number: u64,
    stage: Stage,
    timer: Timer,
}

enum Stage {
    /// Runs at `at`, and its latency follows.
    Waiting {
        at: u64,
        work: Box<dyn FnOnce() + Send>,
    },
    /// Runs at `at`, which is now unless the disk is stalled; costs no time.
    Brief {
        at: u64,
        work: Box<dyn FnOnce() + Send>,
    },
    /// Has run; done at `at`.
    Ran {
        at: u64,
    },
    Over,
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.boot.is_dead() {
                return Poll::Pending;
            }
            let boot = self.boot.clone();
            let at = match &self.stage {
                Stage::Waiting { at, .. } | Stage::Brief { at, .. } | Stage::Ran { at } => *at,
                Stage::Over => return Poll::Pending,
            };
            if self.timer.poll_until(&boot.world.time, at, cx).is_pending() {
                return Poll::Pending;
            }
            self.stage = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Waiting { work, .. } => match stalled(&boot, 50) {
                    Some(at) => Stage::Waiting { at, work },
                    None => run(&boot, self.number, work, true),
                },
                Stage::Brief { work, .. } => match stalled(&boot, 100) {
                    Some(at) => Stage::Brief { at, work },
                    None => run(&boot, self.number, work, false),
                },
                Stage::Ran { .. } => {
                    boot.event(Kind::WorkEnd, self.number, 1, 0, &[]);
                    return Poll::Ready(());
                }
                Stage::Over => return Poll::Pending,
            };
        }
    }
}

/// Until when the disk is stalled, if it is and (`percent` of the cases) the work meets that before it runs; else it meets it after.
fn stalled(boot: &Boot, percent: u64) -> Option<u64> {
    let until = boot.machine.disk.stalled_until();
    let met = until > boot.world.now() && boot.luck.lock().expect("no holder panics").chance(percent);
    if met {
        boot.machine.disk.count_stalled();
    }
    met.then_some(until)
}

fn run(boot: &Arc<Boot>, number: u64, work: Box<dyn FnOnce() + Send>, lasts: bool) -> Stage {
    boot.machine.disk.begin_work();
    if boot.work(work).is_none() {
        return Stage::Over; // J1
    }
    let now = boot.world.now();
    boot.event(Kind::WorkEnd, number, 0, 0, &[]);
    if !lasts {
        return Stage::Ran { at: now };
    }
    let mut luck = boot.luck.lock().expect("no holder panics");
    let (touched, nanos) = boot.machine.disk.work_nanos(&mut luck);
    let mut at = now + nanos;
    let until = boot.machine.disk.stalled_until();
    if touched && until > at {
        boot.machine.disk.count_stalled();
        at = until;
    }
    Stage::Ran { at }
}

impl Drop for Work {
    /// The caller went away: the work goes on without it (J2), unless the boot is dead.
    fn drop(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            stage @ (Stage::Waiting { .. } | Stage::Brief { .. }) if self.boot.is_dead() => bury(stage),
            stage @ (Stage::Waiting { .. } | Stage::Brief { .. }) => {
                let boot = self.boot.clone();
                self.boot.node.spawn(Work { boot, number: self.number, stage, timer: Timer::default() });
            }
            Stage::Ran { .. } | Stage::Over => {}
        }
    }
}
