//! What fate does to a world: each kind one small file, one implementation of [`Fault`], one line in [`all`].
//!
//! A fault strikes once at a time and counts only what it really hit: a failed sync counts when a sync failed, not when it
//! was ordered. Its future may be dropped at any await, when the storm ends; [`Field::heal`] then mends whatever is mendable.
//!
//! Damage stays within what can be survived: of all kinds only `wipe` takes something for good, and it takes one node of a
//! world at most. Everything else may strike any number of nodes at a time, because it passes.

mod clock_drift;
mod clock_jump;
mod clock_offset;
mod crash_point;
mod delay;
mod disk_stall;
mod failed_sync;
mod full_disk;
mod hang;
mod kill;
mod leader_kill;
mod one_way_partition;
mod outage;
mod partition;
mod pause;
mod reset;
mod wipe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tenet_histories::{Fault as Recorded, FaultEdge, Recorder};
use tenet_seam::Random;
use tokio::sync::Notify;

use crate::Sim;
use crate::boot::Machine;
use crate::witness::Witness;

/// One kind of trouble.
#[async_trait]
pub trait Fault: Send + Sync {
    /// Its name, on the command line and in reports.
    fn name(&self) -> &'static str;

    /// Before the first node starts.
    fn prepare(&self, _field: &Field, _luck: &mut Random) {}

    /// Strikes once, and returns when that is over.
    async fn strike(&self, field: &Field, luck: &mut Random);
}

/// Every kind there is.
pub fn all() -> Vec<Box<dyn Fault>> {
    vec![
        Box::new(kill::Kill),
        Box::new(outage::Outage),
        Box::new(leader_kill::LeaderKill),
        Box::new(pause::Pause),
        Box::new(crash_point::CrashPoint),
        Box::new(wipe::Wipe),
        Box::new(partition::Partition),
        Box::new(one_way_partition::OneWayPartition),
        Box::new(reset::Reset),
        Box::new(hang::Hang),
        Box::new(delay::Delay),
        Box::new(disk_stall::DiskStall),
        Box::new(failed_sync::FailedSync),
        Box::new(full_disk::FullDisk),
        Box::new(clock_offset::ClockOffset),
        Box::new(clock_jump::ClockJump),
        Box::new(clock_drift::ClockDrift),
    ]
}

pub fn names() -> Vec<&'static str> {
    all().iter().map(|fault| fault.name()).collect()
}

/// Between the first flicker and the end of power, in microseconds and in disk operations: long enough for an append.
const SAG_US_MAX: u64 = 20_000;
const SAG_OPERATIONS_MAX: u64 = 4;

/// Where faults strike.
pub struct Field {
    pub sim: Sim,
    /// `n1` and so on.
    pub nodes: Vec<Arc<Machine>>,
    /// `c1` and so on. Nothing kills these.
    pub clients: Vec<Arc<Machine>>,
    /// Knows who leads.
    pub witness: Arc<Witness>,
    recorder: Recorder,
    state: Mutex<State>,
    hurried: Notify,
}

#[derive(Default)]
struct State {
    strikes: BTreeMap<&'static str, u64>,
    wiped: BTreeSet<String>,
    healed: bool,
    over: bool,
}

impl Field {
    pub fn new(
        sim: Sim,
        nodes: Vec<Arc<Machine>>,
        clients: Vec<Arc<Machine>>,
        recorder: Recorder,
        witness: Arc<Witness>,
    ) -> Field {
        Field { sim, nodes, clients, witness, recorder, state: Mutex::default(), hurried: Notify::new() }
    }

    /// A node that is up, and was not wiped.
    pub fn any_up(&self, luck: &mut Random) -> Option<Arc<Machine>> {
        let up: Vec<_> = self.nodes.iter().filter(|node| node.is_up() && !self.is_wiped(node)).cloned().collect();
        (!up.is_empty()).then(|| up[luck.below(up.len() as u64) as usize].clone())
    }

    /// Any node.
    pub fn any(&self, luck: &mut Random) -> Arc<Machine> {
        self.nodes[luck.below(self.nodes.len() as u64) as usize].clone()
    }

    /// All machines, nodes first.
    pub fn everyone(&self) -> impl Iterator<Item = &Arc<Machine>> {
        self.nodes.iter().chain(&self.clients)
    }

    /// Power goes on all these nodes within a moment. Who is at work on its disk just then dies in the middle of it. Returns the
    /// names of those who were up.
    pub async fn cut_power(&self, nodes: &[Arc<Machine>], luck: &mut Random) -> String {
        let up: Vec<_> = nodes.iter().filter(|node| node.is_up()).collect();
        let boots: Vec<u16> = up.iter().map(|node| node.boots()).collect();
        if luck.chance(50) {
            for node in &up {
                node.arm_crash_point(log_between(luck, 1, SAG_OPERATIONS_MAX));
            }
            self.sim.sleep(Duration::from_micros(luck.below(SAG_US_MAX))).await;
        }
        let same = up.iter().zip(&boots).filter(|(node, boot)| node.boots() == **boot);
        same.for_each(|(node, _)| node.kill());
        up.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    pub async fn pause_ms(&self, luck: &mut Random, least: u64, most: u64) {
        self.sim.sleep(Duration::from_millis(luck.between(least, most))).await;
    }

    /// Something was hit, just now.
    pub fn struck(&self, name: &'static str, detail: &str) {
        self.count(name, 1);
        self.record(name, FaultEdge::Strike, detail);
    }

    /// Something begins that lasts. Not yet counted: see [`Field::count`].
    pub fn begins(&self, name: &'static str, detail: &str) {
        self.record(name, FaultEdge::Begin, detail);
    }

    pub fn ends(&self, name: &'static str, detail: &str) {
        self.record(name, FaultEdge::End, detail);
    }

    pub fn count(&self, name: &'static str, strikes: u64) {
        self.with(|state| *state.strikes.entry(name).or_default() += strikes);
    }

    pub fn strikes(&self) -> BTreeMap<&'static str, u64> {
        self.with(|state| state.strikes.clone())
    }

    pub fn is_wiped(&self, node: &Machine) -> bool {
        self.with(|state| state.wiped.contains(&node.name))
    }

    /// The nodes that lost their disks for good.
    pub fn wiped(&self) -> BTreeSet<String> {
        self.with(|state| state.wiped.clone())
    }

    /// Allows one node of the world to be wiped, the first that asks.
    pub fn may_wipe(&self, node: &Machine) -> bool {
        self.with(|state| state.wiped.is_empty() && state.wiped.insert(node.name.clone()))
    }

    /// The storm is over: everything that can be mended is, and those who are down come back at once.
    pub fn heal(&self) {
        self.sim.net().heal_all();
        for machine in self.everyone() {
            machine.disk.stall_until(0);
            machine.disk.fail_syncs(0);
            machine.disk.set_capacity(None);
            machine.clock.set_drift(0);
            machine.disarm_crash_point();
            machine.resume();
        }
        self.with(|state| state.healed = true);
        self.hurried.notify_waiters();
    }

    /// Power goes everywhere, and nobody comes back (L1).
    pub fn end(&self) {
        self.with(|state| state.over = true);
        self.nodes.iter().for_each(|node| node.kill());
    }

    pub fn is_over(&self) -> bool {
        self.with(|state| state.over)
    }

    /// Waits, but not beyond the end of the storm.
    pub async fn linger(&self, duration: Duration) {
        let hurried = self.hurried.notified();
        if self.with(|state| state.healed) {
            return;
        }
        tokio::select! {
            biased;
            () = hurried => {}
            () = self.sim.sleep(duration) => {}
        }
    }

    fn record(&self, name: &str, edge: FaultEdge, detail: &str) {
        self.sim.note(&format!("{name} {edge:?} {detail}"));
        self.recorder.fault(Recorded { name: name.to_string(), edge, detail: detail.into() });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("no holder panics"))
    }
}

/// Between `least` and `most`, small ones as likely as large ones.
pub(crate) fn log_between(luck: &mut Random, least: u64, most: u64) -> u64 {
    let doublings = (most / least.max(1)).ilog2();
    let low = least << luck.below(u64::from(doublings) + 1);
    luck.between(low.min(most), (low * 2).min(most))
}
