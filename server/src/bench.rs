//! `tenet bench`: how fast this build is on this machine, as a table for docs/benchmarks.md.
//!
//! Servers are child processes with real files; every commit is synced. Clients live in this process, on the same machine, so
//! that a saturated machine measures both: the servers' CPU per statement is read from the kernel and is theirs alone.
//!
//! Not here: timed tests (a slow machine is no bug), and the simulator's speed (`tenet-sim` tells it).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use tenet_workloads::{Client, ClientError, Luck};
use tokio_postgres::{SimpleQueryMessage, Statement};

use crate::cluster::{Cluster, ClusterError};
use crate::demo::{DemoError, create_database};
use crate::pg_client::PgClient;
use crate::surroundings::any_seed;

const DATABASE: &str = "bench";
const CREATE: &str = "CREATE TABLE bench (id bigint PRIMARY KEY, value text NOT NULL)";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Rows that exist before the first SELECT is measured.
const ROWS_FIRST: i64 = 1000;

/// A failover that takes longer is a failure, not a measurement.
const FAILOVER_WITHIN: Duration = Duration::from_secs(60);

/// Length of a `/proc/PID/stat` clock tick: USER_HZ is 100 on every Linux that we build for.
const TICK: Duration = Duration::from_millis(10);

#[derive(Args, Debug)]
pub struct BenchOptions {
    /// Sizes of clusters to measure
    #[arg(long, value_delimiter = ',', default_value = "1,3")]
    nodes: Vec<u64>,
    /// Numbers of clients to measure with
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    clients: Vec<u64>,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Length of a round
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How often the leader of three nodes is killed; 0 leaves failover out
    #[arg(long, default_value_t = 20)]
    failovers: u64,
    /// Where data folders are made: on the disk to be measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Setup(#[from] DemoError),
    #[error("cannot {what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("client: {0}")]
    Client(#[from] ClientError),
    #[error("statement: {0}")]
    Sql(#[from] tokio_postgres::Error),
    #[error("a client task was lost: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("SELECT by primary key {id} gave {rows} rows")]
    WrongRows { id: i64, rows: usize },
    #[error("no commit within {} s after the kill of node {node}", FAILOVER_WITHIN.as_secs())]
    NoFailover { node: u64 },
}

pub fn bench(options: &BenchOptions) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| BenchError::Io { what: "start".into(), source })?;
    // On the main thread: see Cluster::start.
    runtime.block_on(measure(options))
}

async fn measure(options: &BenchOptions) -> Result<(), BenchError> {
    let profile = if cfg!(debug_assertions) { "dev (measure with --release)" } else { "release" };
    println!("Machine: {}. Profile: {profile}. {} rounds of {} s.", machine(), options.rounds, options.seconds);
    println!("Median of the rounds, range in brackets. Clients are spread over the nodes, the leader's first.\n");
    println!(
        "| Nodes | Clients | Statement | Protocol | Statements/s | p50 ms | p99 ms | Server CPU µs per statement |"
    );
    println!("| ---: | ---: | --- | --- | ---: | ---: | ---: | ---: |");
    for nodes in &options.nodes {
        let mut bench = Bench::start(options, *nodes).await?;
        for clients in &options.clients {
            for kind in Kind::ALL {
                let mut rounds = Vec::new();
                for _ in 0..options.rounds {
                    rounds.push(bench.round(kind, *clients, Duration::from_secs(options.seconds)).await?);
                }
                println!("| {nodes} | {clients} | {kind} | {} |", Row(&rounds));
            }
        }
        bench.cluster.terminate_all().await?;
    }
    if options.failovers > 0 {
        let mut bench = Bench::start(options, 3).await?;
        let mut times = Vec::new();
        for _ in 0..options.failovers {
            times.push(bench.fail_over().await?);
        }
        times.sort();
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1].as_millis();
        println!(
            "\nFailover, {} rounds of kill -9 on the leader of three nodes, until a statement sent after the kill",
            times.len()
        );
        println!("is committed: p50 {} ms, p99 {} ms, max {} ms.", at(50), at(99), at(100));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    InsertPrepared,
    InsertSimple,
    SelectPrepared,
    SelectSimple,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::InsertPrepared, Kind::InsertSimple, Kind::SelectPrepared, Kind::SelectSimple];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::InsertPrepared => "INSERT | prepared",
            Kind::InsertSimple => "INSERT | simple",
            Kind::SelectPrepared => "SELECT by key | prepared",
            Kind::SelectSimple => "SELECT by key | simple",
        })
    }
}

struct Round {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu_per_statement: Duration,
}

struct Bench {
    cluster: Cluster,
    /// Gone with this.
    _folder: tempfile::TempDir,
    /// The last id that was inserted, or is being.
    last_id: Arc<AtomicI64>,
    leader: u64,
}

impl Bench {
    async fn start(options: &BenchOptions, nodes: u64) -> Result<Bench, BenchError> {
        let io = |what: &str| {
            let what = what.to_owned();
            |source| BenchError::Io { what, source }
        };
        let folder = tempfile::Builder::new().prefix("tenet-bench-").tempdir_in(&options.data);
        let folder = folder.map_err(io(&format!("make a folder in {}", options.data.display())))?;
        let executable = std::env::current_exe().map_err(io("find this executable"))?;
        let mut cluster = Cluster::new(executable, folder.path().to_owned(), nodes)?;
        cluster.start_all()?;
        cluster.wait_until_ready(READY_WITHIN).await?;
        create_database(&cluster.sql_addresses(), DATABASE).await?;
        let mut client = PgClient::new(cluster.sql_addresses(), 0, DATABASE);
        client.reconnect().await?;
        client.execute(CREATE, &[]).await?;
        for id in 1..=ROWS_FIRST {
            client.execute("INSERT INTO bench (id, value) VALUES ($1, $2)", &[id.into(), value(id).into()]).await?;
        }
        let mut bench = Bench { cluster, _folder: folder, last_id: Arc::new(AtomicI64::new(ROWS_FIRST)), leader: 0 };
        bench.leader = bench.leader_now().await?;
        Ok(bench)
    }

    /// The leader of the shard that is written to: the one made last.
    async fn leader_now(&mut self) -> Result<u64, BenchError> {
        let newest =
            async |cluster: &Cluster| cluster.shards().await.into_iter().max_by_key(|shard| shard.shard)?.leader;
        Ok(self.cluster.wait("a leader", READY_WITHIN, newest).await?)
    }

    async fn round(&mut self, kind: Kind, clients: u64, length: Duration) -> Result<Round, BenchError> {
        let mut addresses = self.cluster.sql_addresses();
        addresses.rotate_left(self.leader as usize - 1);
        let rows = self.last_id.load(Ordering::Relaxed);
        let mut ready = Vec::new();
        for client in 0..clients {
            let mut connection = PgClient::new(addresses.clone(), client as usize, DATABASE);
            connection.reconnect().await?;
            ready.push(Worker::prepare(kind, connection, self.last_id.clone(), rows).await?);
        }
        let cpu = self.cpu()?;
        let start = Instant::now();
        let working: Vec<_> = ready.into_iter().map(|worker| tokio::spawn(worker.work(start + length))).collect();
        let mut latencies = Vec::new();
        for worker in working {
            latencies.append(&mut worker.await??);
        }
        let (elapsed, cpu) = (start.elapsed(), self.cpu()? - cpu);
        latencies.sort();
        let count = latencies.len().max(1);
        let at = |percent: usize| latencies.get((count * percent).div_ceil(100) - 1).copied().unwrap_or_default();
        Ok(Round {
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            cpu_per_statement: cpu / count as u32,
        })
    }

    /// Of all nodes, since they began.
    fn cpu(&self) -> Result<Duration, BenchError> {
        let pids = self.cluster.nodes.iter().filter_map(|member| self.cluster.pid(member.node));
        pids.map(|pid| {
            cpu_of(pid).map_err(|source| BenchError::Io { what: format!("read the CPU time of {pid}"), source })
        })
        .sum()
    }

    /// Kills the leader; answers how long it was until a write was committed that began after the kill. A client that sits on
    /// a node that lives needs no new connection: this is the servers' time alone.
    async fn fail_over(&mut self) -> Result<Duration, BenchError> {
        let victim = self.leader_now().await?;
        let living = self.cluster.nodes.iter().filter(|member| member.node != victim);
        let living: Vec<String> = living.map(|member| member.sql.clone()).collect();
        let mut client = PgClient::new(living, 0, DATABASE);
        client.reconnect().await?;

        self.cluster.kill(victim)?;
        let killed = Instant::now();
        loop {
            let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
            let params = [id.into(), value(id).into()];
            let insert = client.execute("INSERT INTO bench (id, value) VALUES ($1, $2)", &params);
            match tokio::time::timeout(FAILOVER_WITHIN, insert).await {
                Ok(Ok(_)) => break,
                Ok(Err(error)) if error.lost => client.reconnect().await?,
                Ok(Err(_refused)) => {}
                Err(_elapsed) => return Err(BenchError::NoFailover { node: victim }),
            }
            if killed.elapsed() > FAILOVER_WITHIN {
                return Err(BenchError::NoFailover { node: victim });
            }
        }
        let took = killed.elapsed();
        self.cluster.start(victim)?;
        self.cluster.wait_until_caught_up(victim, READY_WITHIN).await?;
        Ok(took)
    }
}

/// One client at work.
struct Worker {
    kind: Kind,
    connection: PgClient,
    statement: Statement,
    last_id: Arc<AtomicI64>,
    /// Rows that exist for certain: 1 to this.
    rows: i64,
    luck: Luck,
}

impl Worker {
    async fn prepare(
        kind: Kind,
        connection: PgClient,
        last_id: Arc<AtomicI64>,
        rows: i64,
    ) -> Result<Worker, BenchError> {
        let driver = connection.driver().expect("it was just connected");
        let statement = match kind {
            Kind::InsertPrepared | Kind::InsertSimple => {
                driver.prepare("INSERT INTO bench (id, value) VALUES ($1, $2)")
            }
            Kind::SelectPrepared | Kind::SelectSimple => driver.prepare("SELECT value FROM bench WHERE id = $1"),
        };
        let statement = statement.await?;
        Ok(Worker { kind, connection, statement, last_id, rows, luck: Luck::from_seed(any_seed()) })
    }

    /// Answers how long each statement took.
    async fn work(mut self, until: Instant) -> Result<Vec<Duration>, BenchError> {
        let driver = self.connection.driver().expect("it was just connected");
        let mut latencies = Vec::new();
        loop {
            let start = Instant::now();
            if start >= until {
                return Ok(latencies);
            }
            match self.kind {
                Kind::InsertPrepared => {
                    let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
                    driver.execute(&self.statement, &[&id, &value(id)]).await?;
                }
                Kind::InsertSimple => {
                    let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
                    let sql = format!("INSERT INTO bench (id, value) VALUES ({id}, '{}')", value(id));
                    driver.simple_query(&sql).await?;
                }
                Kind::SelectPrepared => {
                    let id = self.luck.between(1, self.rows);
                    let rows = driver.query(&self.statement, &[&id]).await?.len();
                    one_row(id, rows)?;
                }
                Kind::SelectSimple => {
                    let id = self.luck.between(1, self.rows);
                    let messages = driver.simple_query(&format!("SELECT value FROM bench WHERE id = {id}")).await?;
                    let rows = messages.iter().filter(|message| matches!(message, SimpleQueryMessage::Row(_))).count();
                    one_row(id, rows)?;
                }
            }
            latencies.push(start.elapsed());
        }
    }
}

/// A server that answers wrongly is not fast.
fn one_row(id: i64, rows: usize) -> Result<(), BenchError> {
    if rows == 1 { Ok(()) } else { Err(BenchError::WrongRows { id, rows }) }
}

/// 64 bytes.
fn value(id: i64) -> String {
    format!("{id:064}")
}

/// User and system time of a process.
fn cpu_of(pid: u32) -> std::io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name, in parentheses, may hold anything; the 14th and 15th field are counted from behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}", if model.is_empty() { "model unknown" } else { model })
}

/// The rounds of one line.
struct Row<'a>(&'a [Round]);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted = |value: &dyn Fn(&Round) -> f64| {
            let mut values: Vec<f64> = self.0.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            (values[values.len() / 2], values[0], values[values.len() - 1])
        };
        let (rate, rate_min, rate_max) = sorted(&|round| round.per_second);
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let (p50, p50_min, p50_max) = sorted(&|round| ms(round.p50));
        let (p99, p99_min, p99_max) = sorted(&|round| ms(round.p99));
        let (cpu, cpu_min, cpu_max) = sorted(&|round| round.cpu_per_statement.as_secs_f64() * 1e6);
        write!(f, "{rate:.0} ({rate_min:.0}–{rate_max:.0}) | {p50:.2} ({p50_min:.2}–{p50_max:.2}) | ")?;
        write!(f, "{p99:.2} ({p99_min:.2}–{p99_max:.2}) | {cpu:.0} ({cpu_min:.0}–{cpu_max:.0})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_this_process_grows() {
        let before = cpu_of(std::process::id()).unwrap();
        let mut sum = 0u64;
        while cpu_of(std::process::id()).unwrap() == before {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
        }
        assert!(cpu_of(std::process::id()).unwrap() > before, "{sum}");
    }

    #[test]
    fn a_row_has_medians_and_ranges() {
        let round = |per_second: f64, ms: u64| Round {
            per_second,
            p50: Duration::from_millis(ms),
            p99: Duration::from_millis(2 * ms),
            cpu_per_statement: Duration::from_micros(10 * ms),
        };
        let row = Row(&[round(30.0, 1), round(10.0, 3), round(20.0, 2)]).to_string();
        assert_eq!(row, "20 (10–30) | 2.00 (1.00–3.00) | 4.00 (2.00–6.00) | 20 (10–30)");
    }
}
