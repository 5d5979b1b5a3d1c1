//! One world, from its first boot to its last read.
//!
//! ```text
//!   start ── set up ── calm ── storm ───────────── settle ── calm ── stop ── final reads ── end ── audit
//!                      │       faults strike       │ healed: nothing is done any more
//!                      clients work all the time ──┴──────────────▶ each succeeds within LIVENESS of healing
//! ```
//! Everything that the database may be blamed for is in the history or in [`Played`]; the verdict is made outside of the
//! simulation ([`crate::report`]).
//!
//! Invariants
//!  L1  A node that ends is started again, whatever ended it, unless it was wiped and has been refused,
//!      or the world is over.
//!  L2  A node ends by itself only for a reason that the world gave it: a disk that was full or failed a sync. Anything else is a
//!      violation, as is a wiped node that is accepted.
//!  L3  Nothing is done to the world after it was healed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tenet_checker::Verdict;
use tenet_histories::{History, Process};
use tenet_seam::{Address, Seam};
use tenet_workloads::controls::{LostWrites, StaleReads};
use tenet_workloads::{Client, ClientError, Luck, Pace, Run, RunOptions, Surroundings};
use tokio::sync::oneshot;

use crate::Sim;
use crate::audit::{Audit, audit};
use crate::boot::{Death, Machine, Obituary};
use crate::disk::DiskStats;
use crate::faults::{self, Fault, Field};
use crate::plan::{Control, NodeLimits, Plan};
use crate::witness::Witness;

/// Within this, after healing, each client must have succeeded.
pub const LIVENESS: Duration = Duration::from_secs(10);

/// Between healing and the calm phase after it, besides a client's patience: connections that hang are found out.
const SETTLE: Duration = Duration::from_millis(3_000);

/// For the cluster to form and the tables to be made, nothing being in the way.
const SET_UP_WITHIN: Duration = Duration::from_secs(60);

/// A machine needs this long to come back, whoever is in a hurry…
const RESTART_MS_MIN: u64 = 20;

/// …and at most this long, unless it ends again and again.
const RESTART_MS_MAX: u64 = 3_000;

/// A boot that ends itself sooner has failed quickly: the next one waits twice as long as this one did, up to [`AGAIN_MS_MAX`].
const QUICK_NS: u64 = 500_000_000;

/// Well within [`LIVENESS`], so that a node whose reason has passed is there in time.
const AGAIN_MS_MAX: u64 = 1_000;

/// For what dead boots left to be dropped.
const BURIAL: Duration = Duration::from_millis(1);

/// Some dense worlds leave a hundred sets of keys, and read them back in pages of a row or two.
const FINAL_READS_WITHIN: Duration = Duration::from_secs(120);

/// Percent of operations about which a lying client lies.
const LIES_PERCENT: u64 = 10;

/// Ports on which nodes listen: for clients, and for each other.
const SQL_PORT: u16 = 5_433;
const PEER_PORT: u16 = 7_433;

/// How a node is started.
#[derive(Clone)]
pub struct NodeSettings {
    /// Its number among all, from 1.
    pub number: u64,
    pub sql: Address,
    /// All nodes, this one too, where they listen for each other.
    pub peers: BTreeMap<u64, Address>,
    pub limits: NodeLimits,
    pub witness: Arc<Witness>,
}

/// Why a node did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has lost its data folder, and the others know.
    Lost(String),
    Other(String),
}

/// Starts a node; done when clients are served.
pub type Program = Arc<dyn Fn(Seam, NodeSettings) -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync>;

/// Makes a client that is not yet connected: of these nodes, first the one of that place, and on that database.
pub type Clients = Arc<dyn Fn(Seam, Vec<Address>, usize, &str) -> Box<dyn Client> + Send + Sync>;

/// Who plays: the real server and driver, or a test's stand-ins.
#[derive(Clone)]
pub struct Cast {
    pub program: Program,
    pub clients: Clients,
}

/// Something that must not happen, seen by the world itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When it was seen first.
    pub nanos: u64,
    pub what: String,
    /// How often it was seen.
    pub count: u64,
}

/// A world that was played, not yet judged.
pub struct Played {
    /// Without events if the world did not get to its clients.
    pub history: History,
    pub workload: Arc<dyn tenet_workloads::Workload>,
    pub clients: usize,
    pub healed_ns: u64,
    pub strikes: BTreeMap<&'static str, u64>,
    pub obituaries: Vec<Obituary>,
    pub boots: u64,
    pub disks: DiskStats,
    /// On what replicas say of themselves.
    pub replicas: Vec<Verdict>,
    pub hashes_compared: u64,
    /// By the audit of what is on the disks in the end.
    pub stores_compared: u64,
    pub rows_compared: u64,
    pub violations: Vec<Violation>,
}

/// Plays the world of a plan.
pub async fn play(sim: Sim, plan: Plan, cast: Cast) -> Played {
    let world = World::build(sim, plan, cast);
    let healed_ns = world.play().await;
    let mut played = world.played(healed_ns);
    let Audit { verdict, stores, rows } = world.audit().await;
    played.replicas.push(verdict);
    (played.stores_compared, played.rows_compared) = (stores, rows);
    played
}

struct World {
    sim: Sim,
    plan: Plan,
    cast: Cast,
    field: Arc<Field>,
    run: Run,
    witness: Arc<Witness>,
    violations: Arc<Mutex<Vec<Violation>>>,
    /// The client that sets up and reads at the end; no fault knows it.
    outsider: Arc<Machine>,
}

/// Time for workloads: the world's own, which no fault touches.
struct WorldTime(Sim);

impl Surroundings for WorldTime {
    fn now_ns(&self) -> u64 {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let sim = self.0.clone();
        Box::pin(async move { sim.sleep(duration).await })
    }
}

impl World {
    fn build(sim: Sim, plan: Plan, cast: Cast) -> World {
        sim.net().set_latency_us(plan.latency_us);
        sim.net().set_silent_percent(plan.silent_percent);
        let nodes: Vec<_> = (1..=plan.nodes).map(|number| sim.machine(&format!("n{number}"))).collect();
        let clients: Vec<_> = (1..=plan.clients).map(|number| sim.machine(&format!("c{number}"))).collect();
        let outsider = sim.machine("c0");
        for node in &nodes {
            node.disk.set_pace(plan.disk);
        }
        let mut dice = client_luck(&sim, "workload");
        let workload = tenet_workloads::draw(&plan.workload, &mut dice).expect("a plan names a workload that there is");
        let options = RunOptions { patience: Duration::from_millis(plan.patience_ms), timestamps: plan.timestamps };
        let run = Run::new(workload, Arc::new(WorldTime(sim.clone())), options);
        let witness = Arc::new(Witness::default());
        let field = Arc::new(Field::new(sim.clone(), nodes, clients, run.recorder.clone(), witness.clone()));
        World { sim, plan, cast, field, run, witness, violations: Arc::default(), outsider }
    }

    /// Returns when the world was healed.
    async fn play(&self) -> u64 {
        let kinds: Vec<Box<dyn Fault>> =
            faults::all().into_iter().filter(|fault| self.plan.faults.contains(&fault.name())).collect();
        for fault in &kinds {
            fault.prepare(&self.field, &mut self.sim.luck(&format!("prepare/{}", fault.name())));
        }
        self.supervise();

        let outside = seam_of(&self.outsider).await;
        if let Err(reason) = self.set_up(&outside).await {
            self.violate(format!("the world did not get going: {reason}"));
            return self.sim.now();
        }
        // Not before: a node that loses its identity is found out by itself, and no oracle has to.
        self.field.nodes.iter().for_each(|node| node.disk.set_lying(self.plan.control == Some(Control::LyingDisks)));
        self.run.recorder.phase("calm", true);
        let working = self.work().await;
        self.sleep_ms(self.plan.calm_ms).await;

        self.run.recorder.phase("storm", false);
        self.storm(&kinds).await;

        self.field.heal();
        let healed_ns = self.sim.now();
        self.run.recorder.phase("settle", false);
        let settle = SETTLE + Duration::from_millis(self.plan.patience_ms);
        self.sim.sleep(settle).await;
        self.run.recorder.phase("calm again", true);
        self.sim.sleep(LIVENESS.saturating_sub(settle).max(Duration::from_millis(self.plan.calm_ms))).await;

        // The calm lasts until nothing is open any more: what hangs now does so in calm, and is to be seen (oracle `vacuity`).
        self.run.stop.stop();
        join_all(working).await;
        self.run.recorder.phase("end", false);
        let mut client = self.client(&outside, 0, &self.plan.database, "final reads");
        let mut dice = client_luck(&self.sim, "final reads");
        let process = Process(self.plan.clients as u32);
        if let Err(error) = self.run.finish(process, &mut *client, &mut dice, FINAL_READS_WITHIN).await {
            self.violate(error.to_string());
        }
        // A wiped node has had all the time in the world to come back.
        let accepted = self.field.wiped().into_iter().filter(|name| {
            let refused =
                |obituary: &Obituary| matches!(&obituary.death, Death::Exited { .. }) && obituary.machine == *name;
            !self.sim.obituaries().iter().any(refused)
        });
        for name in accepted {
            self.violate(format!("{name} lost its data folder and was not refused"));
        }
        healed_ns
    }

    /// The world is over; what do the disks hold? A node that was wiped has nothing to say.
    async fn audit(&self) -> Audit {
        self.field.end();
        self.sim.sleep(BURIAL).await;
        let kept: Vec<_> = self.field.nodes.iter().filter(|node| !self.field.is_wiped(node)).cloned().collect();
        audit(&kept).await
    }

    /// The database, if it is not there yet, and the tables.
    async fn set_up(&self, outside: &Seam) -> Result<(), String> {
        let deadline = self.sim.now() + SET_UP_WITHIN.as_nanos() as u64;
        // A cluster makes its first database by itself; until then there is nothing to connect to.
        let mut client = self.client(outside, 0, "postgres", "create");
        self.insist(outside, deadline, "connect", &mut *client, None).await?;
        if self.plan.database != "postgres" {
            let sql = format!("CREATE DATABASE {}", self.plan.database);
            self.insist(outside, deadline, &sql, &mut *client, Some(&sql)).await?;
        }
        let mut client = self.client(outside, 0, &self.plan.database, "set up");
        let within = Duration::from_nanos(deadline.saturating_sub(self.sim.now()));
        let mut dice = client_luck(&self.sim, "set up");
        self.run.set_up(&mut *client, &mut dice, within).await.map_err(|error| error.to_string())
    }

    /// Connects, and runs a statement if there is one, until that works.
    async fn insist(
        &self,
        outside: &Seam,
        deadline: u64,
        what: &str,
        client: &mut dyn Client,
        sql: Option<&str>,
    ) -> Result<(), String> {
        loop {
            let done = async {
                client.reconnect().await?;
                match sql {
                    Some(sql) => client.execute(sql, &[]).await.map(drop),
                    None => Ok(()),
                }
            };
            match outside.timeout(Duration::from_secs(10), done).await {
                Ok(Ok(())) => return Ok(()),
                // An earlier try, whose answer was lost.
                Ok(Err(ClientError { sqlstate: Some(state), .. })) if state == "42P04" => return Ok(()),
                other if self.sim.now() >= deadline => return Err(format!("{what}: {other:?}")),
                _ => self.sleep_ms(100).await,
            }
        }
    }

    /// Starts all clients. Each answer comes when one has ended.
    async fn work(&self) -> Vec<oneshot::Receiver<()>> {
        let mut working = Vec::new();
        for (number, machine) in self.field.clients.iter().enumerate() {
            let seam = seam_of(machine).await;
            let mut client = self.client(&seam, number, &self.plan.database, &format!("lies/{number}"));
            let mut dice = client_luck(&self.sim, &format!("client/{number}"));
            let run = self.run.clone();
            let pace = Pace::per_second(self.plan.rate).among(self.plan.clients);
            let (done, ended) = oneshot::channel();
            seam.spawn("client", async move {
                run.process(Process(number as u32), &mut *client, &mut dice, pace).await;
                // Nobody waits only if the world has ended.
                done.send(()).ok();
            });
            working.push(ended);
        }
        working
    }

    async fn storm(&self, kinds: &[Box<dyn Fault>]) {
        if kinds.is_empty() {
            return self.sleep_ms(self.plan.storm_ms).await;
        }
        let hands = (0..self.plan.hands).map(|hand| self.hand(hand, kinds));
        tokio::select! {
            biased;
            _ = join_all(hands) => {}
            () = self.sleep_ms(self.plan.storm_ms) => {}
        }
    }

    /// Strikes, and strikes again.
    async fn hand(&self, hand: usize, kinds: &[Box<dyn Fault>]) -> Infallible {
        let mut luck = self.sim.luck(&format!("storm/{hand}"));
        loop {
            self.sleep_ms(luck.below(self.plan.gap_ms_max)).await;
            let kind = &kinds[luck.below(kinds.len() as u64) as usize];
            kind.strike(&self.field, &mut luck).await;
        }
    }

    /// Starts every node and sees to it that it comes back (L1).
    fn supervise(&self) {
        let peers: BTreeMap<u64, Address> =
            (1..=self.plan.nodes as u64).map(|number| (number, Address(format!("n{number}:{PEER_PORT}")))).collect();
        for (index, machine) in self.field.nodes.iter().enumerate() {
            let settings = NodeSettings {
                number: index as u64 + 1,
                sql: Address(format!("{}:{SQL_PORT}", machine.name)),
                peers: if self.plan.nodes == 1 { BTreeMap::new() } else { peers.clone() },
                limits: self.plan.limits.clone(),
                witness: self.witness.clone(),
            };
            let keeper = Keeper {
                sim: self.sim.clone(),
                field: self.field.clone(),
                machine: machine.clone(),
                settings,
                program: self.cast.program.clone(),
                violations: self.violations.clone(),
            };
            self.sim.spawn(keeper.keep());
        }
    }

    fn client(&self, seam: &Seam, first: usize, database: &str, lies: &str) -> Box<dyn Client> {
        let nodes = self.field.nodes.iter().map(|node| Address(format!("{}:{SQL_PORT}", node.name))).collect();
        let client = (self.cast.clients)(seam.clone(), nodes, first, database);
        let lies = client_luck(&self.sim, lies);
        match self.plan.control {
            Some(Control::StaleReads) => Box::new(StaleReads::new(Boxed(client), lies, LIES_PERCENT)),
            Some(Control::LostWrites) => Box::new(LostWrites::new(Boxed(client), lies, LIES_PERCENT)),
            Some(Control::LyingDisks) | None => client,
        }
    }

    async fn sleep_ms(&self, ms: u64) {
        self.sim.sleep(Duration::from_millis(ms)).await;
    }

    fn violate(&self, what: String) {
        violate(&self.sim, &self.violations, what);
    }

    /// All but what the audit says, which is no part of the world any more.
    fn played(&self, healed_ns: u64) -> Played {
        let obituaries = self.sim.obituaries();
        let mut disks = DiskStats::default();
        self.field.nodes.iter().for_each(|node| disks.add(&node.disk.stats()));
        Played {
            history: self.run.recorder.history(),
            workload: self.run.workload.clone(),
            clients: self.plan.clients,
            healed_ns,
            strikes: self.field.strikes(),
            obituaries,
            boots: self.field.nodes.iter().map(|node| u64::from(node.boots())).sum(),
            disks,
            replicas: self.witness.verdicts(),
            hashes_compared: self.witness.hashes_compared(),
            stores_compared: 0,
            rows_compared: 0,
            violations: self.violations.lock().expect("no holder panics").clone(),
        }
    }
}

/// Notes a violation; the same one, again and again, is counted.
fn violate(sim: &Sim, violations: &Mutex<Vec<Violation>>, what: String) {
    sim.note(&what);
    let mut violations = violations.lock().expect("no holder panics");
    match violations.iter_mut().find(|known| known.what == what) {
        Some(known) => known.count += 1,
        None => violations.push(Violation { nanos: sim.now(), what, count: 1 }),
    }
}

/// A stream of the world's luck in the workloads' clothes.
fn client_luck(sim: &Sim, name: &str) -> Luck {
    let mut stream = sim.luck(name);
    Luck::new(move || stream.next_u64())
}

/// Switches a machine on, and gives its seam to the world.
pub(crate) async fn seam_of(machine: &Arc<Machine>) -> Seam {
    let (give, given) = oneshot::channel();
    machine.start(move |seam| async move {
        give.send(seam).unwrap_or_else(|_| panic!("the world waits for it"));
    });
    given.await.expect("nothing kills a client")
}

/// Lets a boxed client be wrapped by a control.
struct Boxed(Box<dyn Client>);

#[async_trait::async_trait]
impl Client for Boxed {
    async fn execute(
        &mut self,
        sql: &str,
        params: &[tenet_workloads::Param],
    ) -> Result<tenet_workloads::Rows, ClientError> {
        self.0.execute(sql, params).await
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        self.0.reconnect().await
    }

    async fn enter(&mut self, database: Option<&str>) -> Result<(), ClientError> {
        self.0.enter(database).await
    }
}

/// Keeps one node running.
struct Keeper {
    sim: Sim,
    field: Arc<Field>,
    machine: Arc<Machine>,
    settings: NodeSettings,
    program: Program,
    violations: Arc<Mutex<Vec<Violation>>>,
}

impl Keeper {
    async fn keep(self) {
        let mut luck = self.sim.luck(&format!("keeper/{}", self.machine.name));
        let mut again_ms = RESTART_MS_MIN;
        while !self.field.is_over() {
            let begun = self.sim.now();
            let disk_before = self.machine.disk.stats();
            let (say, said) = oneshot::channel();
            let (program, settings) = (self.program.clone(), self.settings.clone());
            self.machine.start(move |seam| async move {
                let started = program(seam, settings).await;
                // Nobody listens if the node was killed meanwhile.
                say.send(started).ok();
            });
            let refused = self.live(said, disk_before).await;
            if refused {
                return;
            }
            let last = self.sim.obituary(&self.machine.name, self.machine.boots()).map(|obituary| obituary.death);
            let by_itself = matches!(last, Some(Death::Halted { .. } | Death::Exited { .. }));
            let quick = by_itself && self.sim.now() - begun < QUICK_NS;
            again_ms = if quick { (again_ms * 2).min(AGAIN_MS_MAX) } else { RESTART_MS_MIN };
            let wait = faults::log_between(&mut luck, RESTART_MS_MIN, RESTART_MS_MAX);
            self.field.linger(Duration::from_millis(wait)).await;
            self.sim.sleep(Duration::from_millis(again_ms)).await;
        }
    }

    /// One boot, to its end. True: it was refused for good, as it should be.
    async fn live(
        &self,
        said: impl Future<Output = Result<Result<(), Refusal>, oneshot::error::RecvError>>,
        before: DiskStats,
    ) -> bool {
        let name = &self.machine.name;
        let wiped = self.field.is_wiped(&self.machine);
        let mut refused = false;
        match said.await {
            Ok(Ok(())) if wiped => self.violate(format!("{name} lost its data folder and serves clients all the same")),
            // Killed before it had started.
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(Refusal::Lost(reason))) if wiped => {
                self.machine.exit(&reason);
                refused = true;
            }
            Ok(Err(Refusal::Lost(reason) | Refusal::Other(reason))) => {
                if !self.disk_failed(before) {
                    self.violate(format!("{name} did not start: {reason}"));
                }
                self.machine.exit(&reason);
            }
        }
        self.machine.down().await;
        let last = self.sim.obituary(name, self.machine.boots());
        if let Some(Death::Halted { reason }) = last.map(|obituary| obituary.death)
            && !self.disk_failed(before)
        {
            self.violate(format!("{name} ended itself: {reason}"));
        }
        refused
    }

    /// Whether the world gave this boot a reason to end (L2).
    fn disk_failed(&self, before: DiskStats) -> bool {
        let now = self.machine.disk.stats();
        now.failed_syncs > before.failed_syncs || now.refused_full > before.refused_full
    }

    fn violate(&self, what: String) {
        violate(&self.sim, &self.violations, what);
    }
}
