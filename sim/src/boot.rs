//! Machines, and their boots: who runs, who is dead, and what a dead boot may still do (nothing).
//!
//! A machine is a name, a disk and a clock; it outlives its boots. A boot is one life of its process: a node of the scheduler,
//! an epoch, a crash point. A seam belongs to one boot, and each of its handles asks whether that boot still lives.
//!
//! ```text
//!            start                    kill, halt, crash point
//!  [down] ─────────▶ [boot n alive] ───────────────────────────▶ [down] ── start ──▶ [boot n+1 alive] …
//!                                     fence first, then the network's
//!                                     ends, then what the disk loses
//! ```
//!
//! Invariants
//!  B1  Death fences first: from that instant no operation of the boot reaches disk, network, clock or tasks. The scheduler drops
//!      the boot's futures only later (measured: 70 ns later, after its kill returned), so destructors run when the next boot
//!      may be alive already.
//!  B2  A boot dies once. A machine has at most one live boot.
//!  B3  A crash point is a number of disk operations; the operation that reaches it fails, and so does every later one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use madsim::runtime::{Handle, NodeHandle};
use madsim::time::TimeHandle;
use tenet_seam::{Random, Seam};
use tokio::sync::Notify;

use crate::clock::{MachineClock, SimClock};
use crate::digest::{Digest, Kind, Who};
use crate::disk::{CrashReport, MachineDisk, SimDisk};
use crate::entropy::{SimEntropy, luck};
use crate::net::{Network, SimNet};
use crate::simulation::POLLS_MAX;
use crate::tasks::SimTasks;

/// No crash point.
const NEVER: u64 = u64::MAX;

thread_local! {
    /// Whether a closure of `blocking` or `brief` is running. A simulation is one thread.
    static WORK: Cell<u64> = const { Cell::new(0) };

    /// How many began on this thread: each has a number of its own, from 1.
    static WORKS_BEGUN: Cell<u64> = const { Cell::new(0) };

    /// Whether what runs has outlived its boot: the rest of the closure in which it died, or a destructor.
    static POSTHUMOUS: Cell<bool> = const { Cell::new(false) };
}

/// Why a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// The world pulled the plug.
    Killed,
    /// The plug was pulled inside this disk operation.
    CrashPoint {
        operation: Kind,
        path: String,
        /// The file was opened in the same piece of work: this is recovery, or creation.
        opening: bool,
    },
    /// The process ended itself at once ([`Seam::halt`]).
    Halted { reason: String },
    /// Its program came to an end.
    Exited { reason: String },
}

/// A death, and what it did to the disk.
#[derive(Clone, Debug)]
pub struct Obituary {
    pub machine: String,
    pub boot: u16,
    pub nanos: u64,
    pub death: Death,
    pub crash: CrashReport,
}

/// What all machines of one simulation share.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) time: TimeHandle,
    pub(crate) digest: Digest,
    pub(crate) net: Network,
    pub(crate) machines: Mutex<Vec<Arc<Machine>>>,
    pub(crate) obituaries: Mutex<Vec<Obituary>>,
    pub(crate) polls: Mutex<Polls>,
}

/// Polls of tasks within the present virtual second.
#[derive(Default)]
pub(crate) struct Polls {
    second: u64,
    count: u64,
    /// By machine and task, once there are suspiciously many.
    tasks: BTreeMap<(u16, &'static str), u64>,
}

impl World {
    pub(crate) fn now(&self) -> u64 {
        self.time.elapsed().as_nanos() as u64
    }

    /// A task is polled. Panics if there are more polls than a world that gets on can have.
    pub(crate) fn count_poll(&self, who: Who, task: &'static str) {
        let second = self.now() / 1_000_000_000;
        let mut polls = self.polls.lock().expect("no holder panics");
        if polls.second != second {
            *polls = Polls { second, ..Polls::default() };
        }
        polls.count += 1;
        if polls.count > POLLS_MAX / 2 {
            *polls.tasks.entry((who.machine, task)).or_default() += 1;
        }
        if polls.count > POLLS_MAX {
            let most = polls.tasks.iter().max_by_key(|(_, count)| **count);
            let ((machine, task), count) = most.expect("counted just now");
            let (share, of) = (*count, POLLS_MAX / 2);
            let text = format!("{share} of the last {of} polls were of task {task:?} on machine {machine}");
            drop(polls);
            panic!("livelock: more than {POLLS_MAX} polls within one simulated second; {text}");
        }
    }
}

/// One computer: its disk and clock, and the boot that runs on it, if any.
pub struct Machine {
    pub(crate) world: Weak<World>,
    pub name: String,
    /// Its number in events. Starts at 1; 0 is the world.
    pub number: u16,
    pub disk: MachineDisk,
    pub clock: MachineClock,
    state: Mutex<MachineState>,
    changed: Notify,
}

#[derive(Default)]
struct MachineState {
    boots: u16,
    alive: Option<Arc<Boot>>,
}

impl Machine {
    pub(crate) fn new(world: &Arc<World>, name: &str, number: u16) -> Machine {
        let mut dice = luck(world.seed, Who { machine: number, boot: 0 }, "sim/machine");
        let clock = MachineClock::new(world.time.clone(), dice.below(1_000_000_000_000));
        Machine {
            world: Arc::downgrade(world),
            name: name.to_string(),
            number,
            disk: MachineDisk::new(luck(world.seed, Who { machine: number, boot: 0 }, "sim/crash")),
            clock,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Begins a new boot and runs `program` on it. The program's end does not end the boot. Panics if a boot is alive (B2).
    pub fn start<F>(self: &Arc<Machine>, program: impl FnOnce(Seam) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let world = self.world.upgrade().expect("machines are started while their world runs");
        let boot = {
            let mut state = self.state.lock().expect("no holder panics");
            assert!(state.alive.is_none(), "{} runs already", self.name);
            state.boots += 1;
            let who = Who { machine: self.number, boot: state.boots };
            let node = Handle::current().create_node().name(format!("{}#{}", self.name, state.boots)).build();
            let boot = Arc::new(Boot::new(world.clone(), self.clone(), who, node));
            state.alive = Some(boot.clone());
            boot
        };
        world.digest.event(Kind::Boot, boot.who, 0, 0, 0, self.name.as_bytes());
        world.net.boot(&self.name, boot.who);
        self.changed.notify_waiters();
        boot.node.spawn(program(boot.seam()));
    }

    /// Ends the boot as a loss of power does: at once, unsynced bytes at the mercy of luck. Nothing happens if it is down.
    pub fn kill(&self) {
        if let Some(boot) = self.alive() {
            boot.die(Death::Killed);
        }
    }

    /// The boot stands still: none of its tasks runs until [`Machine::resume`]. Machine and connections stay.
    pub fn pause(&self) {
        if let Some(boot) = self.alive() {
            Handle::current().pause(boot.node.id());
        }
    }

    /// The boot goes on, with all that should have happened meanwhile.
    pub fn resume(&self) {
        if let Some(boot) = self.alive() {
            Handle::current().resume(boot.node.id());
        }
    }

    pub fn is_up(&self) -> bool {
        self.alive().is_some()
    }

    /// How many boots there were so far.
    pub fn boots(&self) -> u16 {
        self.state.lock().expect("no holder panics").boots
    }

    /// The present boot dies at its `operations`-th disk operation from now (1 is the next one). False if it is down.
    pub fn arm_crash_point(&self, operations: u64) -> bool {
        let alive = self.alive();
        if let Some(boot) = &alive {
            boot.operations_left.store(operations.max(1), Ordering::Relaxed);
        }
        alive.is_some()
    }

    /// Takes the crash point away again.
    pub fn disarm_crash_point(&self) {
        if let Some(boot) = self.alive() {
            boot.operations_left.store(NEVER, Ordering::Relaxed);
        }
    }

    /// The program has ended by itself, for this reason. For the disk it is as a loss of power, which is harder than the end of
    /// a process.
    pub fn exit(&self, reason: &str) {
        if let Some(boot) = self.alive() {
            boot.die(Death::Exited { reason: reason.to_string() });
        }
    }

    /// Disk operations of the present boot so far.
    pub fn disk_operations(&self) -> u64 {
        self.alive().map_or(0, |boot| boot.operations.load(Ordering::Relaxed))
    }

    /// Ready when no boot is alive.
    pub async fn down(&self) {
        self.until(false).await;
    }

    /// Ready when a boot is alive, before it has touched its disk.
    pub async fn up(&self) {
        self.until(true).await;
    }

    async fn until(&self, up: bool) {
        loop {
            let changed = self.changed.notified();
            if self.is_up() == up {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn alive(&self) -> Option<Arc<Boot>> {
        self.state.lock().expect("no holder panics").alive.clone()
    }
}

/// One life of a machine's process.
pub(crate) struct Boot {
    pub(crate) world: Arc<World>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) who: Who,
    pub(crate) node: NodeHandle,
    /// What the simulation draws on this boot's behalf: how long its work lasts.
    pub(crate) luck: Mutex<Random>,
    dead: AtomicBool,
    operations: AtomicU64,
    operations_left: AtomicU64,
    streams: Mutex<BTreeMap<String, u64>>,
}

impl Boot {
    fn new(world: Arc<World>, machine: Arc<Machine>, who: Who, node: NodeHandle) -> Boot {
        let luck = Mutex::new(luck(world.seed, who, "sim/work"));
        Boot {
            world,
            machine,
            who,
            node,
            luck,
            dead: AtomicBool::new(false),
            operations: AtomicU64::new(0),
            operations_left: AtomicU64::new(NEVER),
            streams: Mutex::default(),
        }
    }

    fn seam(self: &Arc<Boot>) -> Seam {
        Seam {
            clock: Arc::new(SimClock { boot: self.clone() }),
            entropy: Arc::new(SimEntropy { boot: self.clone() }),
            tasks: Arc::new(SimTasks { boot: self.clone() }),
            net: Arc::new(SimNet { boot: self.clone() }),
            disk: Arc::new(SimDisk { boot: self.clone() }),
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Folds an event of this boot and returns its index.
    pub(crate) fn event(&self, kind: Kind, object: u64, number: u64, result: u64, bytes: &[u8]) -> u64 {
        self.world.digest.event(kind, self.who, object, number, result, bytes)
    }

    /// How many streams of that name were opened before.
    pub(crate) fn count_stream(&self, name: &str) -> u64 {
        let mut streams = self.streams.lock().expect("no holder panics");
        let count = streams.entry(name.to_string()).or_default();
        *count += 1;
        *count - 1
    }

    /// Lets one disk operation begin, unless the boot is dead (B1). True: it is the one in which the machine dies (B3).
    pub(crate) fn count_disk_operation(&self) -> io::Result<bool> {
        if self.is_dead() {
            return Err(down());
        }
        assert!(WORK.get() != 0, "the disk is used outside of Seam::blocking and Seam::brief (S2)");
        self.operations.fetch_add(1, Ordering::Relaxed);
        let left = self.operations_left.load(Ordering::Relaxed);
        if left == NEVER {
            return Ok(false);
        }
        self.operations_left.store(left - 1, Ordering::Relaxed);
        Ok(left == 1)
    }

    /// Ends the boot. Nothing happens if it is dead.
    pub(crate) fn die(&self, death: Death) {
        if self.dead.swap(true, Ordering::Relaxed) {
            return;
        }
        POSTHUMOUS.set(WORK.get() != 0);
        let nanos = self.world.now();
        let about = format!("{death:?}");
        self.world.digest.event(Kind::Death, self.who, 0, 0, 0, about.as_bytes());
        self.world.net.die(&self.machine.name);
        let crash = self.machine.disk.crash();
        let numbers = [crash.pending_writes, crash.kept, crash.dropped, crash.torn, crash.dropped_names];
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.world.digest.event(Kind::DiskCrash, self.who, 0, crash.pending_bytes, 0, &bytes);
        self.machine.state.lock().expect("no holder panics").alive = None;
        let obituary = Obituary { machine: self.machine.name.clone(), boot: self.who.boot, nanos, death, crash };
        self.world.obituaries.lock().expect("no holder panics").push(obituary);
        // What a paused boot has waiting is dropped by the scheduler, not here, where its destructors would meet a lock.
        Handle::current().resume(self.node.id());
        Handle::current().kill(self.node.id());
        self.machine.changed.notify_waiters();
    }

    /// Runs a closure of `blocking` or `brief`. `None` if the boot died in it: then its result is nobody's, a panic included.
    pub(crate) fn work(&self, work: Box<dyn FnOnce() + Send>) -> Option<()> {
        WORKS_BEGUN.set(WORKS_BEGUN.get() + 1);
        let outer = WORK.replace(WORKS_BEGUN.get());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        WORK.set(outer);
        POSTHUMOUS.set(false);
        match result {
            _ if self.is_dead() => None,
            Ok(()) => Some(()),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What every operation of a dead boot answers.
pub(crate) fn down() -> io::Error {
    io::Error::other("the machine is down (simulated crash)")
}

/// Tells the pieces of disk work of one simulation apart; 0 outside of them.
pub(crate) fn work_number() -> u64 {
    WORK.get()
}

/// Whether what runs now is the rest of a closure, or a destructor, of a dead boot: its panics are nobody's.
pub(crate) fn is_posthumous() -> bool {
    POSTHUMOUS.get()
}

/// Drops what a dead boot left. A destructor that panics (over a lock that its dead owner poisoned, say) harms nobody.
pub(crate) fn bury<T>(remains: T) {
    let outer = POSTHUMOUS.replace(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || drop(remains)));
    POSTHUMOUS.set(outer);
    drop(result);
}
