//! One simulation: a seed, a fresh thread, a scheduler, and a [`Sim`] in the hands of whoever plays fate.
//!
//! A fresh operating-system thread each time, its scheduler built first: the keys of the standard library's hash tables are
//! drawn once per thread, by the scheduler if it is there in time.
//!
//! A panic anywhere, on any machine, ends the simulation and is its result: an invariant of the code under test was broken.
//! Panics of the dead (a closure in which the machine lost its power) are not heard.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::ops::Range;
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

/// How to run.
#[derive(Clone, Debug)]
pub struct SimOptions {
    pub seed: u64,
    /// Events whose text is kept; usually none.
    pub window: Range<u64>,
    /// The simulation fails if its virtual time reaches this.
    pub limit: Duration,
}

impl SimOptions {
    pub fn new(seed: u64) -> SimOptions {
        SimOptions { seed, window: 0..0, limit: Duration::from_secs(3_600) }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Finished<T> {
    pub result: Result<T, Panicked>,
    pub fingerprint: Fingerprint,
    pub trace: Vec<String>,
}

/// Some code panicked, on a machine or in the world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panic at {place}: {message}")]
pub struct Panicked {
    pub message: String,
    pub place: String,
}

thread_local! {
    /// The newest panic of this thread's simulation. `None` outside of one.
    static HEARD: RefCell<Option<Panicked>> = const { RefCell::new(None) };
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
    let seed = options.seed;
    let thread = std::thread::Builder::new().name(format!("seed {seed}")).stack_size(STACK_BYTES);
    let thread = thread.spawn(move || run(options, play)).expect("the system gives a thread");
    thread.join().expect("panics are caught inside")
}

fn run<T, F: Future<Output = T>>(options: SimOptions, play: impl FnOnce(Sim) -> F) -> Finished<T> {
    let mut runtime = Runtime::with_seed_and_config(options.seed, madsim::Config::default());
    learn_stack_bounds();
    runtime.set_time_limit(options.limit);
    SIMULATING.set(true);
    let begun: Arc<OnceLock<Sim>> = Arc::default();
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
                HEARD.set(Some(Panicked { message: text(info.payload()), place }));
            }
        }));
    });
}

fn heard(panic: &(dyn Any + Send)) -> Panicked {
    let message = text(panic);
    HEARD.take().unwrap_or(Panicked { message, place: "an unknown place".to_string() })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or("(no text)".to_string())
}
