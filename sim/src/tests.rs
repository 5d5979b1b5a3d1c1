//! The simulated seam, tested for what core relies on and for what replay relies on.

#[path = "../../core/front/answers/mod.rs"]
mod answers;
mod clock;
mod disk;
mod engine;
mod net;
mod real;
mod redb;
mod replay;
mod stand_in;
mod swarm;
mod tasks;
mod world;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{Finished, Sim, SimOptions, simulate};
use tenet_seam::Seam;

/// Runs a world and hands back its result; a panic in it is one here.
fn play<T: Send + 'static, F: Future<Output = T>>(seed: u64, play: impl FnOnce(Sim) -> F + Send + 'static) -> T {
    let Finished { result, .. } = simulate(SimOptions::new(seed), play);
    result.unwrap_or_else(|panicked| panic!("{panicked}"))
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A place into which machines put what the test looks at.
type Shared<T> = Arc<Mutex<T>>;

/// Starts a machine on a program that gives its seam to the test's task.
async fn seam_of(sim: &Sim, name: &str) -> Seam {
    let machine = match sim.machines().into_iter().find(|machine| machine.name == name) {
        Some(machine) => machine,
        None => sim.machine(name),
    };
    let slot: Shared<Option<Seam>> = Shared::default();
    let put = slot.clone();
    machine.start(move |seam| async move {
        put.lock().unwrap().replace(seam);
    });
    sim.sleep(ms(1)).await;
    slot.lock().unwrap().take().expect("the machine has started")
}
