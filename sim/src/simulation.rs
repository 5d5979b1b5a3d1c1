//! One simulation: a seed, a fresh thread, a scheduler, and a [`Sim`] in the hands of whoever plays fate.
//!
//! A fresh operating-system thread each time, its scheduler built first: the keys of the standard library's hash tables are
//! drawn once per thread, by the scheduler if it is there in time.
//!
//! A panic anywhere, on any machine, ends the simulation and is its result: an invariant of the code under test was broken.
//! Panics of the dead (a closure in which the machine lost its power) are not heard.
//!
//! Two guards against a simulation that does not end. Tasks that wake each other for nothing let hardly any virtual time pass;
//! they are counted, and a count is the same in every run ([`POLLS_MAX`]). A poll that does not return at all is seen by the real
//! clock alone ([`SimOptions::patience`]): its thread is left to itself, for a process that is about to end.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::ops::Range;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::Duration;

use madsim::runtime::Runtime;
use madsim::time::TimeHandle;
use tenet_seam::Random;

use crate::boot::{Machine, Obituary, World, is_posthumous};
use crate::clock::sleep_until;
use crate::digest::{Digest, Fingerprint, Kind, Who};
use crate::entropy::luck;
use crate::net::Network;

/// Planning a statement recurses deeply, and our code is hardly optimised in the dev profile.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// What a dead machine's futures get to be dropped in, at the end.
const BURIAL_NANOS: u64 = 1_000_000;

/// So many polls of tasks within one virtual second are a livelock. A second holds some thirteen million of them, since each
/// takes 75 ns on average; the busiest worlds need a few hundred thousand.
pub(crate) const POLLS_MAX: u64 = 3_000_000;

/// How to run.
#[derive(Clone, Debug)]
pub struct SimOptions {
    pub seed: u64,
    /// Events whose text is kept; usually none.
    pub window: Range<u64>,
    /// The simulation fails if its virtual time reaches this.
    pub limit: Duration,
    /// The simulation has failed if it takes longer by the real clock.
    pub patience: Duration,
}

impl SimOptions {
    pub fn new(seed: u64) -> SimOptions {
        SimOptions { seed, window: 0..0, limit: Duration::from_secs(3_600), patience: Duration::from_secs(600) }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Finished<T> {
    pub result: Result<T, Broken>,
    pub fingerprint: Fingerprint,
    pub trace: Vec<String>,
}

/// Why a simulation came to no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Some code panicked, on a machine or in the world.
    #[error("panic at {place}: {message}")]
    Panicked { message: String, place: String },
    /// It did not end in time, by the real clock.
    #[error("no end within {} s: {now_ms} ms simulated, {events} events, the last one {last}", patience.as_secs())]
    Stuck { patience: Duration, now_ms: u64, events: u64, last: String },
}

thread_local! {
    /// The newest panic of this thread's simulation. `None` outside of one.
    static HEARD: RefCell<Option<Broken>> = const { RefCell::new(None) };
    static SIMULATING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The handle by which a world is built and tormented. Cheap to clone; lives on the simulation's thread.
#[derive(Clone)]
pub struct Sim {
    world: Arc<World>,
}

/// Runs `play` in a simulation of its own, to its end.
pub fn simulate<T, F>(options: SimOptions, play: impl FnOnce(Sim) -> F + Send + 'static) -> Finished<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    listen_to_panics();
    let (seed, patience) = (options.seed, options.patience);
    let begun: Arc<OnceLock<Sim>> = Arc::default();
    let (finish, finished) = mpsc::channel();
    let inside = begun.clone();
    let thread = std::thread::Builder::new().name(format!("seed {seed}")).stack_size(STACK_BYTES);
    let thread = thread.spawn(move || {
        // Nobody waits for it any more once it was given up.
        finish.send(run(options, &inside, play)).ok();
    });
    let thread = thread.expect("the system gives a thread");
    match finished.recv_timeout(patience) {
        Ok(finished) => {
            thread.join().expect("panics are caught inside");
            finished
        }
        Err(RecvTimeoutError::Disconnected) => panic!("panics are caught inside"),
        Err(RecvTimeoutError::Timeout) => {
            let sim = begun.get().expect("a simulation begins at once");
            let fingerprint = sim.world.digest.fingerprint();
            let (now_ms, events) = (fingerprint.nanos / 1_000_000, fingerprint.events);
            let last = sim.world.digest.last();
            let result = Err(Broken::Stuck { patience, now_ms, events, last });
            Finished { result, fingerprint, trace: sim.world.digest.take_trace() }
        }
    }
}

fn run<T, F: Future<Output = T>>(
    options: SimOptions,
    begun: &Arc<OnceLock<Sim>>,
    play: impl FnOnce(Sim) -> F,
) -> Finished<T> {
    let mut runtime = Runtime::with_seed_and_config(options.seed, madsim::Config::default());
    learn_stack_bounds();
    runtime.set_time_limit(options.limit);
    SIMULATING.set(true);
    let sim = begun.clone();
    let window = options.window;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async move {
            let sim = sim.get_or_init(|| Sim::new(options.seed, window)).clone();
            let result = play(sim.clone()).await;
            sim.end().await;
            result
        })
    }));
    SIMULATING.set(false);
    let sim = begun.get().expect("it begins before anything can panic");
    let (fingerprint, trace) = (sim.world.digest.fingerprint(), sim.world.digest.take_trace());
    let result = result.map_err(|panic| heard(panic.as_ref()));
    if result.is_err() {
        // Tasks in any state are left: their destructors expect a scheduler that runs.
        std::mem::forget(runtime);
    }
    Finished { result, fingerprint, trace }
}

impl Sim {
    fn new(seed: u64, window: Range<u64>) -> Sim {
        let time = TimeHandle::current();
        let world = World {
            seed,
            digest: Digest::new(time.clone(), window),
            net: Network::new(seed, time.clone()),
            time,
            machines: Mutex::default(),
            obituaries: Mutex::default(),
            polls: Mutex::default(),
        };
        Sim { world: Arc::new(world) }
    }

    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// Nanoseconds of virtual time since the beginning.
    pub fn now(&self) -> u64 {
        self.world.now()
    }

    /// Waits by the world's own clock.
    pub async fn sleep(&self, duration: Duration) {
        sleep_until(&self.world.time, self.now() + duration.as_nanos() as u64).await;
    }

    /// A stream of luck for the world: what it builds, when it strikes.
    pub fn luck(&self, name: &str) -> Random {
        luck(self.world.seed, Who::WORLD, &format!("world/{name}"))
    }

    /// Builds a machine, with an empty disk, switched off. Its name is its host name.
    pub fn machine(&self, name: &str) -> Arc<Machine> {
        let mut machines = self.world.machines.lock().expect("no holder panics");
        assert!(machines.iter().all(|machine| machine.name != name), "{name} exists");
        let number = u16::try_from(machines.len() + 1).expect("a world has few machines");
        let machine = Arc::new(Machine::new(&self.world, name, number));
        self.world.net.add_host(name, number);
        machines.push(machine.clone());
        machine
    }

    pub fn machines(&self) -> Vec<Arc<Machine>> {
        self.world.machines.lock().expect("no holder panics").clone()
    }

    pub fn net(&self) -> &Network {
        &self.world.net
    }

    /// All deaths so far, in order.
    pub fn obituaries(&self) -> Vec<Obituary> {
        self.world.obituaries.lock().expect("no holder panics").clone()
    }

    /// How that boot of a machine ended, if it has.
    pub fn obituary(&self, machine: &str, boot: u16) -> Option<Obituary> {
        let obituaries = self.world.obituaries.lock().expect("no holder panics");
        obituaries.iter().rev().find(|obituary| obituary.machine == machine && obituary.boot == boot).cloned()
    }

    /// Starts a task of the world's own, on no machine.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        madsim::task::spawn(future);
    }

    /// Folds something that the world did, or observed, into the digest.
    pub fn note(&self, text: &str) {
        self.world.digest.event(Kind::Note, Who::WORLD, 0, 0, 0, text.as_bytes());
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.world.digest.events()
    }

    /// Switches everything off and lets what ran be dropped, so that nothing of a simulation outlives it.
    async fn end(&self) {
        self.machines().iter().for_each(|machine| machine.kill());
        sleep_until(&self.world.time, self.now() + BURIAL_NANOS).await;
    }
}

/// The SQL parser guards against deep recursion. Where this thread's stack ends it asks once per thread, by a call that the
/// scheduler refuses inside of a simulation (it takes it for the start of a thread); then each statement would be parsed on a
/// stack of its own. So it is made to ask now.
fn learn_stack_bounds() {
    let parsed = sqlparser::parser::Parser::parse_sql(&sqlparser::dialect::GenericDialect {}, "SELECT 1");
    parsed.expect("a statement that parses");
}

/// From the first simulation on, panics inside of simulations are kept for their reports; others are printed as ever.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let printed = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !SIMULATING.get() {
                return printed(info);
            }
            if !is_posthumous() {
                let place = info.location().map_or("an unknown place".to_string(), |place| place.to_string());
                HEARD.set(Some(Broken::Panicked { message: text(info.payload()), place }));
            }
        }));
    });
}

fn heard(panic: &(dyn Any + Send)) -> Broken {
    let message = text(panic);
    HEARD.take().unwrap_or(Broken::Panicked { message, place: "an unknown place".to_string() })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or("(no text)".to_string())
}
