//! What a world is made of, drawn from its seed before anything runs.
//!
//! Each part is drawn from a stream of its own, so that a wish (another workload, one fault left out) changes that part alone:
//! the rest of the seed's world stays as it was. Small limits are drawn on purpose: what is rare in production, a segment that
//! ends, a snapshot, a window that has moved on, should happen in most worlds.

use std::fmt;

use tenet_seam::Random;

use crate::digest::Who;
use crate::disk::DiskPace;
use crate::entropy::luck;
use crate::faults;

/// How many operations may be open at a time, on average. They go for few rows, optimistically: with many more most would lose, and
/// a world in which nothing succeeds shows nothing (oracle `vacuity`). Three at a time come about by meetings all the same.
const OPEN_MAX: f64 = 1.0;

/// Percent of worlds in which clients ask for more than that: batches of several proposals, several appends on their way, reads and
/// commits that wait for each other.
const DENSE_PERCENT: u64 = 20;

/// So many times [`OPEN_MAX`], at least and at most.
const DENSITY: (u64, u64) = (3, 5);

/// What a dense world's clients may ask for altogether, more or less: it should not take minutes.
const DENSE_OPERATIONS_MAX: f64 = 10_000.0;

/// So many of a hundred operations must succeed when nothing is in their way: most worlds' rates leave nearly all a way through,
/// dense ones are there for those that meet, and so are those that make databases.
const OK_PERCENT_MIN: u64 = 50;
const OK_PERCENT_MIN_DENSE: u64 = 10;

/// A commit to a database that is dropped meanwhile is answered so.
const UNKNOWN_PERCENT_MAX_TENANTS: u64 = 5;

/// Before the storm and after it.
const CALM_MS: u64 = 2_000;

/// An operation is some six statements: each crosses a wire there and back, and often two more to the leader. Measured over all
/// workloads: eight to seventeen times the mean wire, and the time of a sync or two.
const WIRES_PER_OPERATION: f64 = 16.0;
const SYNCS_PER_OPERATION: f64 = 2.0;

/// What may be asked for instead of what the seed draws.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Only these kinds of faults.
    pub faults: Option<Vec<String>>,
    /// Not these.
    pub without: Vec<String>,
    pub workload: Option<String>,
    pub nodes: Option<usize>,
    pub clients: Option<usize>,
    /// Operations per simulated second of each client; 0 is no pause.
    pub rate: Option<f64>,
    /// Length of the storm.
    pub storm_seconds: Option<u64>,
    pub control: Option<Control>,
}

/// A world that must fail: what proves that an oracle can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Clients that answer a read with an older answer, now and then.
    StaleReads,
    /// Clients that acknowledge writes which they never send, now and then.
    LostWrites,
    /// Disks that acknowledge syncs and do nothing.
    LyingDisks,
}

impl Control {
    pub const ALL: [Control; 3] = [Control::StaleReads, Control::LostWrites, Control::LyingDisks];

    pub fn name(self) -> &'static str {
        match self {
            Control::StaleReads => "stale-reads",
            Control::LostWrites => "lost-writes",
            Control::LyingDisks => "lying-disks",
        }
    }
}

/// Bounds of a node, as far as worlds draw them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    pub tick_ms: u64,
    pub election_ticks: u32,
    pub segment_bytes: u64,
    pub wal_cache_bytes: usize,
    pub append_entries_max: u64,
    pub window_sets_max: usize,
    pub cache_bytes_max: usize,
    pub checkpoint_bytes: usize,
    pub checkpoint_ticks: u32,
    pub log_tail_entries: u64,
    pub snapshot_piece_bytes: usize,
    pub stores_max: usize,
    pub store_cache_bytes: usize,
    pub appends_in_flight_max: u32,
    pub apply_bytes: usize,
    pub window_bytes: usize,
    pub batch_bytes: usize,
    pub page_bytes: usize,
}

/// A world, before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub nodes: usize,
    pub clients: usize,
    pub workload: String,
    /// `postgres`, or a database that the world makes first.
    pub database: String,
    /// Operations per simulated second of each client; 0 is no pause.
    pub rate: f64,
    /// So many of a hundred operations in calm must be ok (oracle `vacuity`).
    pub ok_percent_min: u64,
    /// So many may have an unknown outcome.
    pub unknown_percent_max: u64,
    /// Whether clients ask for timestamps, which costs statements.
    pub timestamps: bool,
    pub patience_ms: u64,
    pub calm_ms: u64,
    pub storm_ms: u64,
    pub latency_us: (u64, u64),
    pub disk: DiskPace,
    /// How often, in percent, a machine dies without resetting its connections.
    pub silent_percent: u64,
    pub limits: NodeLimits,
    /// Kinds of faults that strike.
    pub faults: Vec<&'static str>,
    /// How many faults are at work at a time.
    pub hands: usize,
    /// Between the end of one and the beginning of the next of the same hand, at most.
    pub gap_ms_max: u64,
    pub control: Option<Control>,
}

/// A wish that cannot be granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    #[error("no fault is called {name}; there are: {known}")]
    Fault { name: String, known: String },
    #[error("no workload is called {name}; there are: {known}")]
    Workload { name: String, known: String },
    #[error("{nodes} nodes: a world has 1, 3 or 5")]
    Nodes { nodes: usize },
    #[error("{clients} clients: a world has 1 to 100")]
    Clients { clients: usize },
}

impl Plan {
    pub fn draw(seed: u64, wishes: &Wishes) -> Result<Plan, WishError> {
        let stream = |name: &str| luck(seed, Who::WORLD, &format!("plan/{name}"));
        let mut shape = stream("shape");
        let nodes = if shape.chance(70) { 3 } else { 5 };
        let clients = shape.between(4, 8) as usize;
        let workload = tenet_workloads::NAMES[shape.below(tenet_workloads::NAMES.len() as u64) as usize];
        let mut pace = stream("pace");
        let rate = pace.between(3, 20) as f64;
        let clients = wishes.clients.unwrap_or(clients);
        let database = if pace.chance(50) { "postgres" } else { "world" }.to_string();
        let timestamps = pace.chance(40);
        let patience_ms = pace.between(2_000, 4_000);
        let mut ground = stream("ground");
        let latency_us = *pick(&mut ground, &[(50, 300), (100, 1_000), (500, 3_000), (1_000, 6_000)]);
        let disk = draw_disk(&mut ground);
        let silent_percent = *pick(&mut ground, &[0, 50, 100]);
        let fitting = rate_max(clients, latency_us, disk.sync_us);
        let mut density = stream("density");
        // A database that somebody makes is refused to all others until it is ready.
        let makes_tenants = wishes.workload.as_deref().unwrap_or(workload) == tenet_histories::workloads::TENANTS;
        // Who wishes for a rate knows better.
        let dense = density.chance(DENSE_PERCENT) && wishes.rate.is_none() && !makes_tenants;
        let mut weather = stream("weather");
        let storm_ms = wishes.storm_seconds.map_or(weather.between(5_000, 15_000), |seconds| seconds * 1_000);
        let rate = if dense {
            let seconds = (storm_ms + 2 * CALM_MS) as f64 / 1e3;
            let affordable = DENSE_OPERATIONS_MAX / (clients as f64 * seconds);
            (fitting * density.between(DENSITY.0, DENSITY.1) as f64).min(affordable).max(fitting)
        } else {
            rate.min(fitting)
        };
        let plan = Plan {
            seed,
            nodes: wishes.nodes.unwrap_or(nodes),
            clients,
            workload: wishes.workload.clone().unwrap_or(workload.to_string()),
            database,
            rate: wishes.rate.unwrap_or(rate),
            ok_percent_min: if dense || makes_tenants { OK_PERCENT_MIN_DENSE } else { OK_PERCENT_MIN },
            unknown_percent_max: if makes_tenants { UNKNOWN_PERCENT_MAX_TENANTS } else { 0 },
            timestamps,
            patience_ms,
            calm_ms: CALM_MS,
            storm_ms,
            latency_us,
            disk,
            silent_percent,
            limits: draw_limits(&mut stream("limits")),
            hands: weather.between(1, 3) as usize,
            gap_ms_max: *pick(&mut weather, &[500, 1_500, 4_000]),
            faults: draw_faults(&mut stream("faults"), wishes)?,
            control: wishes.control,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), WishError> {
        if !tenet_workloads::NAMES.contains(&self.workload.as_str()) {
            return Err(WishError::Workload { name: self.workload.clone(), known: tenet_workloads::NAMES.join(", ") });
        }
        if ![1, 3, 5].contains(&self.nodes) {
            return Err(WishError::Nodes { nodes: self.nodes });
        }
        if !(1..=100).contains(&self.clients) {
            return Err(WishError::Clients { clients: self.clients });
        }
        Ok(())
    }
}

/// So many operations per second of each client leave [`OPEN_MAX`] open at a time.
fn rate_max(clients: usize, wires_us: (u64, u64), syncs_us: (u64, u64)) -> f64 {
    let mean = |(least, most): (u64, u64)| (least + most) as f64 / 2.0;
    let operation_us = WIRES_PER_OPERATION * mean(wires_us) + SYNCS_PER_OPERATION * mean(syncs_us);
    OPEN_MAX / (clients.max(1) as f64 * operation_us / 1e6)
}

/// About half of all kinds, so that some worlds are torn and others have one trouble alone; never none.
fn draw_faults(luck: &mut Random, wishes: &Wishes) -> Result<Vec<&'static str>, WishError> {
    let known = faults::names();
    let wished = wishes.faults.iter().flatten().chain(&wishes.without);
    if let Some(name) = wished.into_iter().find(|name| !known.contains(&name.as_str())) {
        return Err(WishError::Fault { name: name.clone(), known: known.join(", ") });
    }
    let percent = *pick(luck, &[20, 50, 90]);
    let mut drawn: Vec<&'static str> = known.iter().copied().filter(|_| luck.chance(percent)).collect();
    if drawn.is_empty() {
        drawn.push(*pick(luck, &known));
    }
    if let Some(wanted) = &wishes.faults {
        drawn = known.into_iter().filter(|name| wanted.iter().any(|wanted| wanted == name)).collect();
    }
    drawn.retain(|name| !wishes.without.iter().any(|without| without == name));
    Ok(drawn)
}

fn draw_disk(luck: &mut Random) -> DiskPace {
    let sync_us = *pick(luck, &[(20, 80), (150, 600), (1_000, 5_000)]);
    DiskPace { sync_us, ..DiskPace::default() }
}

fn draw_limits(luck: &mut Random) -> NodeLimits {
    NodeLimits {
        tick_ms: *pick(luck, &[10, 20, 50]),
        election_ticks: luck.between(5, 15) as u32,
        segment_bytes: *pick(luck, &[8 << 10, 64 << 10, 1 << 20]),
        wal_cache_bytes: *pick(luck, &[0, 16 << 10, 1 << 20]),
        append_entries_max: *pick(luck, &[1, 16, 256]),
        window_sets_max: *pick(luck, &[8, 64, 16 << 10]),
        cache_bytes_max: *pick(luck, &[4 << 10, 64 << 10, 4 << 20]),
        checkpoint_bytes: *pick(luck, &[4 << 10, 32 << 10, 256 << 10]),
        checkpoint_ticks: *pick(luck, &[20, 100, 1_200]),
        log_tail_entries: *pick(luck, &[0, 8, 64, 1_024]),
        snapshot_piece_bytes: *pick(luck, &[1 << 10, 16 << 10, 256 << 10]),
        stores_max: *pick(luck, &[1, 2, 256]),
        store_cache_bytes: *pick(luck, &[1 << 20, 16 << 20]),
        appends_in_flight_max: *pick(luck, &[1, 4, 32]),
        apply_bytes: *pick(luck, &[1, 256, 1 << 20]),
        window_bytes: *pick(luck, &[256, 4 << 10, 32 << 20]),
        batch_bytes: *pick(luck, &[1, 256, 64 << 20]),
        page_bytes: *pick(luck, &[100, 4 << 10, 512 << 10]),
    }
}

fn pick<'t, T>(luck: &mut Random, these: &'t [T]) -> &'t T {
    &these[luck.below(these.len() as u64) as usize]
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "world      {} nodes, {} clients, {} on database {}, {} ({}% must be ok in calm){}",
            self.nodes,
            self.clients,
            self.workload,
            self.database,
            if self.rate > 0.0 { format!("{:.1} operations/s each", self.rate) } else { "no pause".to_string() },
            self.ok_percent_min,
            if self.timestamps { ", with timestamps" } else { "" },
        )?;
        writeln!(
            f,
            "ground     wires {}-{} us, syncs {}-{} us, deaths {}% silent, patience {} ms",
            self.latency_us.0,
            self.latency_us.1,
            self.disk.sync_us.0,
            self.disk.sync_us.1,
            self.silent_percent,
            self.patience_ms,
        )?;
        let limits = &self.limits;
        writeln!(
            f,
            "limits     tick {} ms, election {} ticks, append {}, window {}, cache {}, segment {}, wal cache {}, checkpoint {} bytes or {} ticks, \
             tail {}, piece {}, stores {}, store cache {}, in flight {}, apply {}, window {} bytes, batch {}, page {}",
            limits.tick_ms,
            limits.election_ticks,
            limits.append_entries_max,
            limits.window_sets_max,
            limits.cache_bytes_max,
            limits.segment_bytes,
            limits.wal_cache_bytes,
            limits.checkpoint_bytes,
            limits.checkpoint_ticks,
            limits.log_tail_entries,
            limits.snapshot_piece_bytes,
            limits.stores_max,
            limits.store_cache_bytes,
            limits.appends_in_flight_max,
            limits.apply_bytes,
            limits.window_bytes,
            limits.batch_bytes,
            limits.page_bytes,
        )?;
        write!(
            f,
            "weather    {} ms storm, {} at a time, gaps up to {} ms: {}",
            self.storm_ms,
            self.hands,
            self.gap_ms_max,
            if self.faults.is_empty() { "nothing".to_string() } else { self.faults.join(", ") },
        )?;
        if let Some(control) = self.control {
            write!(f, "\ncontrol    {}: this world must fail", control.name())?;
        }
        Ok(())
    }
}
