//! Time: one virtual clock of the world, and on each machine a clock of its own that is wrong about it.
//!
//! A machine's monotonic time runs `drift_ppm` fast or slow; its wall clock is off by an offset besides, which may jump in
//! either direction. Sleeps are measured by the machine's own monotonic clock, so a slow machine sleeps long.
//!
//! Timers have nanosecond resolution. The scheduler's own sleep rounds up to a millisecond, which would tie every latency of
//! disk and network to its ticks; its `Sleep::reset` takes any deadline, and that is what [`Timer`] uses. A timer that was
//! dropped wakes nobody: only its small slot stays in the scheduler's heap until it is due.
//!
//! Invariants
//!  C1  Within a boot the monotonic clock never goes back, whatever is done to drift and offset.
//!  C2  A sleep ends never before its deadline by the machine's own monotonic clock, even if the drift changes meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, UNIX_EPOCH};

use futures::future::BoxFuture;
use madsim::time::TimeHandle;
use tenet_seam::{Clock, Moment};

use crate::boot::Boot;
use crate::digest::Kind;

/// A sleep lasts at least this long, as no real timer fires at once.
const SLEEP_NANOS_MIN: u64 = 1_000;

/// A machine's clock; it goes on through crashes, as a battery-backed one does.
pub struct MachineClock {
    time: TimeHandle,
    state: Mutex<State>,
}

struct State {
    /// The last change of drift: then, global time was this…
    anchor_global: u64,
    /// …and local monotonic time this.
    anchor_local: u64,
    /// Local minus global time when the machine was built: not an error of the wall clock.
    start_ahead: i128,
    drift_ppm: i64,
    wall_offset_us: i64,
}

impl State {
    fn local(&self, global: u64) -> u64 {
        let passed = i128::from(global - self.anchor_global);
        let scaled = passed + passed * i128::from(self.drift_ppm) / 1_000_000;
        self.anchor_local + scaled as u64
    }

    /// The first global nanosecond at which the local clock shows at least `local`, if the drift stays as it is.
    fn global(&self, local: u64) -> u64 {
        let passed = i128::from(local.saturating_sub(self.anchor_local));
        let rate = i128::from(1_000_000 + self.drift_ppm);
        self.anchor_global + ((passed * 1_000_000 + rate - 1) / rate) as u64 + 1
    }
}

impl MachineClock {
    /// `start_nanos` is what the monotonic clock shows at first: machines do not agree on it.
    pub(crate) fn new(time: TimeHandle, start_nanos: u64) -> MachineClock {
        let global = time.elapsed().as_nanos() as u64;
        let state = State {
            anchor_global: global,
            anchor_local: start_nanos,
            start_ahead: i128::from(start_nanos) - i128::from(global),
            drift_ppm: 0,
            wall_offset_us: 0,
        };
        MachineClock { time, state: Mutex::new(state) }
    }

    /// From now on the clock gains this many millionths. Between -500,000 and 1,000,000.
    pub fn set_drift(&self, drift_ppm: i64) {
        assert!((-500_000..=1_000_000).contains(&drift_ppm), "a clock with drift {drift_ppm} ppm is not a clock");
        let global = self.global_now();
        let mut state = self.state.lock().expect("no holder panics");
        state.anchor_local = state.local(global);
        state.anchor_global = global;
        state.drift_ppm = drift_ppm;
    }

    /// Moves the wall clock, either way.
    pub fn jump_wall(&self, by_us: i64) {
        let mut state = self.state.lock().expect("no holder panics");
        state.wall_offset_us = state.wall_offset_us.saturating_add(by_us);
    }

    /// How far the wall clock is off by jumps and offsets, drift not counted.
    pub fn wall_offset_us(&self) -> i64 {
        self.state.lock().expect("no holder panics").wall_offset_us
    }

    fn global_now(&self) -> u64 {
        self.time.elapsed().as_nanos() as u64
    }

    fn local_now(&self) -> u64 {
        let global = self.global_now();
        self.state.lock().expect("no holder panics").local(global)
    }

    fn wall_us(&self) -> u64 {
        let base =
            self.time.now_time().duration_since(UNIX_EPOCH).expect("the world begins in 2022").as_micros() as i64;
        let global = self.global_now();
        let state = self.state.lock().expect("no holder panics");
        let gained_us = (i128::from(state.local(global)) - i128::from(global) - state.start_ahead) / 1_000;
        u64::try_from(i128::from(base) + gained_us + i128::from(state.wall_offset_us)).unwrap_or(0)
    }
}

/// [`Clock`] for one boot of a machine.
pub(crate) struct SimClock {
    pub(crate) boot: Arc<Boot>,
}

impl Clock for SimClock {
    fn now(&self) -> Moment {
        let nanos = self.boot.machine.clock.local_now();
        self.boot.event(Kind::Now, 0, nanos, 0, &[]);
        Moment(nanos)
    }

    fn wall_us(&self) -> u64 {
        let us = self.boot.machine.clock.wall_us();
        self.boot.event(Kind::Wall, 0, us, 0, &[]);
        us
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4).clamp(SLEEP_NANOS_MIN, u64::MAX / 4);
        self.boot.event(Kind::Sleep, 0, nanos, 0, &[]);
        let deadline = self.boot.machine.clock.local_now() + nanos;
        Box::pin(Sleep { boot: self.boot.clone(), deadline, timer: Timer::default() })
    }
}

struct Sleep {
    boot: Arc<Boot>,
    /// By the machine's monotonic clock.
    deadline: u64,
    timer: Timer,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.boot.is_dead() {
            return Poll::Pending;
        }
        let boot = self.boot.clone();
        let clock = &boot.machine.clock;
        if clock.local_now() >= self.deadline {
            return Poll::Ready(());
        }
        let at = clock.state.lock().expect("no holder panics").global(self.deadline);
        self.timer.poll_until(&clock.time, at, cx)
    }
}

/// One wake-up at a time, at a moment of the world's clock.
#[derive(Default)]
pub(crate) struct Timer {
    slot: Option<Arc<Slot>>,
    /// For when the newest registration of `slot` is.
    at: u64,
}

#[derive(Default)]
struct Slot(Mutex<Option<Waker>>);

impl Wake for Slot {
    fn wake(self: Arc<Self>) {
        let waker = self.0.lock().expect("no holder panics").take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Timer {
    /// Who is woken. Replaces an earlier one.
    pub(crate) fn watch(&mut self, waker: &Waker) {
        self.slot.get_or_insert_default().0.lock().expect("no holder panics").replace(waker.clone());
    }

    /// Wakes the one who watches at `at`, or now if that has passed, or earlier (at a moment of an earlier call): who is woken
    /// looks, and if it is too early watches and asks again.
    pub(crate) fn alert(&mut self, time: &TimeHandle, at: u64) {
        if self.at > time.elapsed().as_nanos() as u64 && self.at <= at {
            return; // registered already, and not yet fired
        }
        self.at = at;
        wake_at(time, at, self.slot.get_or_insert_default().clone().into());
    }

    /// Ready at `at`; otherwise wakes `cx` then.
    pub(crate) fn poll_until(&mut self, time: &TimeHandle, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        if time.elapsed().as_nanos() as u64 >= at {
            return Poll::Ready(());
        }
        self.watch(cx.waker());
        self.alert(time, at);
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            slot.0.lock().expect("no holder panics").take();
        }
    }
}

/// Registers one wake-up with the scheduler.
pub(crate) fn wake_at(time: &TimeHandle, at: u64, waker: Waker) {
    let now = time.elapsed().as_nanos() as u64;
    let mut sleep = time.sleep(Duration::ZERO);
    Pin::new(&mut sleep).reset(time.now_instant() + Duration::from_nanos(at.saturating_sub(now)));
    if Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_ready() {
        waker.wake();
    }
}

/// Sleeps by the world's clock: for what is no machine's own doing (wires, disks, the world's supervisor).
pub(crate) async fn sleep_until(time: &TimeHandle, at: u64) {
    let mut timer = Timer::default();
    std::future::poll_fn(|cx| timer.poll_until(time, at, cx)).await;
}
