//! `tenet demo`: three nodes, two tenants, a leader killed in the middle, and what the clients saw judged at the end.
//!
//! Everything is real: processes, files, sockets, SIGKILL. The bank is the one that the simulator runs, and so is the judge.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use tenet_checker::vacuity;
use tenet_histories::{
    Counts, Event, Fault, FaultEdge, History, HistoryError, Outcome, Process, Value, What, functions,
};
use tenet_workloads::{Bank, BankOptions, Client, ClientError, Luck, Pace, Run, RunError, RunOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, ClusterError};
use crate::pg_client::PgClient;
use crate::surroundings::{RealTime, any_seed};

const NODES: u64 = 3;
const TENANTS: [&str; 2] = ["acme", "globex"];
const CLIENTS_PER_TENANT: u32 = 4;
const BANK: BankOptions = BankOptions { account_count: 8, balance: 100, amount_max: 20, reads_percent: 25 };

/// Per client: brisk, and slow enough that the story can be read.
const OPERATIONS_PER_SECOND: f64 = 50.0;

/// How long the bank works before the kill, between kill and restart, and after it.
const ACT: Duration = Duration::from_secs(4);

const READY_WITHIN: Duration = Duration::from_secs(60);

#[derive(Args, Debug)]
pub struct DemoOptions {
    /// End when the story has been told, instead of serving until Ctrl-C
    #[arg(long)]
    exit: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("cannot {what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("{what}: {source}")]
    Sql { what: String, source: ClientError },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("a client task was lost: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("tenant {tenant}: {reason}; the history is in {file}")]
    Refuted { tenant: &'static str, reason: String, file: String },
    #[error("interrupted")]
    Interrupted,
}

/// One tenant's bank at work.
struct Branch {
    tenant: &'static str,
    run: Run,
    clients: Vec<JoinHandle<()>>,
    shard: u64,
}

pub fn demo(options: &DemoOptions) -> Result<(), DemoError> {
    let io = |what| move |source| DemoError::Io { what, source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(io("start"))?;
    // On the main thread, which lasts: children take the end of the thread that made them for their parent's.
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(io("listen to signals"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(io("listen to signals"))?;
        let executable = std::env::current_exe().map_err(io("find this executable"))?;
        let folder = tempfile::Builder::new().prefix("tenet-demo-").tempdir().map_err(io("make a folder"))?.keep();
        let mut cluster = Cluster::new(executable, folder, NODES)?;
        let told = tokio::select! {
            biased;
            _ = interrupt.recv() => Err(DemoError::Interrupted),
            _ = terminate.recv() => Err(DemoError::Interrupted),
            told = tell(&mut cluster) => told,
        };
        if told.is_ok() && !options.exit {
            let (host, port) = cluster.nodes[0].sql.split_once(':').expect("made with a port");
            println!("\nServing until Ctrl-C. Try it:  psql -h {host} -p {port} -U you {}", TENANTS[0]);
            tokio::select! {
                biased;
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        cluster.terminate_all().await?;
        match &told {
            Ok(()) => {
                for node in 1..=NODES {
                    let data = cluster.data(node);
                    std::fs::remove_dir_all(data).map_err(io("remove a data folder"))?;
                }
                println!("Nodes ended, their data removed; histories and logs stay in {}", cluster.folder().display());
            }
            Err(_) => println!("Everything is left for a look in {}", cluster.folder().display()),
        }
        told
    })
}

async fn tell(cluster: &mut Cluster) -> Result<(), DemoError> {
    let start = Instant::now();
    let say = |what: String| println!("{:6.2} s  {what}", start.elapsed().as_secs_f64());
    println!("Three nodes, two tenants; one leader will be killed. Folder: {}", cluster.folder().display());
    for member in &cluster.nodes {
        println!("  node {}  sql {}  admin http://{}/health", member.node, member.sql, member.admin);
    }

    cluster.start_all()?;
    cluster.wait_until_ready(READY_WITHIN).await?;
    say("the nodes have found each other and formed a cluster".into());
    let time = Arc::new(RealTime::new());
    let mut branches = Vec::new();
    for tenant in TENANTS {
        branches.push(open_branch(cluster, tenant, &time).await?);
    }
    say(format!(
        "tenants {}: each a bank of {} accounts, {} in total",
        TENANTS.join(", "),
        BANK.account_count,
        total()
    ));

    for branch in &mut branches {
        branch.run.recorder.phase("calm", true);
        branch.open_doors(&cluster.sql_addresses());
    }
    tokio::time::sleep(ACT).await;
    say(format!("{} clients move money: {}", CLIENTS_PER_TENANT * TENANTS.len() as u32, counts(&branches)));

    // Asked at the last moment: a leader may have changed since the tenant was made.
    let mut leaders = Vec::new();
    for branch in &branches {
        leaders.push(leader_of(cluster, branch).await?);
        say(format!("{} is led by node {}", branch.tenant, leaders[leaders.len() - 1]));
    }
    let victim = leaders[0];
    for branch in &branches {
        branch.run.recorder.phase("killed", false);
        branch.run.recorder.fault(fault(FaultEdge::Begin, victim));
    }
    cluster.kill(victim)?;
    // When it is gone, and not when it was asked to go: it may serve until then.
    let killed_ns = tenet_workloads::Surroundings::now_ns(&*time);
    say(format!("kill -9 node {victim}"));
    tokio::time::sleep(ACT).await;
    for (branch, leader) in branches.iter().zip(leaders) {
        let led = if leader == victim { "its leader was killed" } else { "its leader lives" };
        match first_transfer_after(&branch.run.recorder.history(), killed_ns) {
            Some(after) => say(format!("{}: {led}; money moved again after {} ms", branch.tenant, after.as_millis())),
            None => say(format!("{}: {led}; no money has moved since", branch.tenant)),
        }
    }

    cluster.start(victim)?;
    say(format!("node {victim} is started again on what its disk kept"));
    let (entries, shards) = cluster.wait_until_caught_up(victim, READY_WITHIN).await?;
    say(format!("node {victim} has caught up: {entries} entries of {shards} shards"));
    for branch in &branches {
        branch.run.recorder.fault(fault(FaultEdge::End, victim));
    }
    tokio::time::sleep(ACT).await;

    let mut refuted = Ok(());
    for branch in branches {
        let told = branch.close(cluster, killed_ns).await?;
        for line in &told.lines {
            say(line.clone());
        }
        refuted = refuted.and(told.verdict);
    }
    refuted?;
    Ok(())
}

fn total() -> i64 {
    Bank::new(BANK).total()
}

fn fault(edge: FaultEdge, node: u64) -> Fault {
    Fault { name: "kill".into(), edge, detail: format!("node {node}").into() }
}

fn counts(branches: &[Branch]) -> String {
    let one = |branch: &Branch| {
        let Counts { ok, fail, unknown, .. } = branch.run.recorder.counts();
        format!("{} {ok} ok, {fail} failed, {unknown} unknown", branch.tenant)
    };
    branches.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Makes the tenant and its bank.
async fn open_branch(cluster: &mut Cluster, tenant: &'static str, time: &Arc<RealTime>) -> Result<Branch, DemoError> {
    let known: Vec<u64> = cluster.shards().await.iter().map(|shard| shard.shard).collect();
    create_database(&cluster.sql_addresses(), tenant).await?;
    let shard = cluster
        .wait(&format!("the shard of {tenant}"), READY_WITHIN, async |cluster| {
            cluster.shards().await.iter().map(|shard| shard.shard).find(|shard| !known.contains(shard))
        })
        .await?;
    let run =
        Run::new(Arc::new(Bank::new(BANK)), time.clone(), RunOptions { timestamps: true, ..RunOptions::default() });
    let mut client = PgClient::new(cluster.sql_addresses(), 0, tenant);
    run.set_up(&mut client, &mut Luck::from_seed(any_seed()), READY_WITHIN).await?;
    Ok(Branch { tenant, run, clients: Vec::new(), shard })
}

async fn leader_of(cluster: &mut Cluster, branch: &Branch) -> Result<u64, ClusterError> {
    let leads =
        async |cluster: &Cluster| cluster.shards().await.into_iter().find(|shard| shard.shard == branch.shard)?.leader;
    cluster.wait(&format!("a leader of {}", branch.tenant), READY_WITHIN, leads).await
}

/// Patient while the cluster is still making its first database, to which one connects to make others.
pub async fn create_database(addresses: &[String], name: &str) -> Result<(), DemoError> {
    let what = || format!("CREATE DATABASE {name}");
    let mut client = PgClient::new(addresses.to_vec(), 0, "postgres");
    let start = Instant::now();
    while let Err(source) = client.reconnect().await {
        if start.elapsed() > READY_WITHIN {
            return Err(DemoError::Sql { what: what(), source });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.execute(&what(), &[]).await.map_err(|source| DemoError::Sql { what: what(), source })?;
    Ok(())
}

struct Told {
    lines: Vec<String>,
    verdict: Result<(), DemoError>,
}

impl Branch {
    fn open_doors(&mut self, addresses: &[String]) {
        for process in 0..CLIENTS_PER_TENANT {
            let run = self.run.clone();
            let mut client = PgClient::new(addresses.to_vec(), process as usize, self.tenant);
            self.clients.push(tokio::spawn(async move {
                let mut luck = Luck::from_seed(any_seed());
                let pace = Pace::per_second(OPERATIONS_PER_SECOND);
                run.process(Process(process), &mut client, &mut luck, pace).await;
            }));
        }
    }

    /// Lets the clients end, reads everything once more, keeps the history and has it judged.
    async fn close(self, cluster: &Cluster, killed_ns: u64) -> Result<Told, DemoError> {
        self.run.stop.stop();
        for client in self.clients {
            client.await?;
        }
        let mut client = PgClient::new(cluster.sql_addresses(), 0, self.tenant);
        let mut luck = Luck::from_seed(any_seed());
        self.run.finish(Process(CLIENTS_PER_TENANT), &mut client, &mut luck, READY_WITHIN).await?;

        let history = self.run.recorder.history();
        let file = history_file(cluster.folder(), self.tenant);
        tenet_histories::write_file(&history, &file)?;
        let Counts { ok, fail, unknown, .. } = self.run.recorder.counts();
        let (reads, last_total) = reads(&history);
        let mut lines = vec![
            format!(
                "{}: {ok} operations ok, {fail} failed, {unknown} unknown; kept in {}",
                self.tenant,
                file.display()
            ),
            format!(
                "{}: {reads} reads of all accounts; the last one adds up to {last_total} of {}",
                self.tenant,
                total()
            ),
        ];
        let refuted = |reason| DemoError::Refuted { tenant: self.tenant, reason, file: file.display().to_string() };
        let judged = self.run.workload.check(&history).and_then(|mut judgement| {
            // A history in which nobody met anybody proves nothing.
            judgement.verdicts.push(vacuity::check(&history, &history.phases(), &vacuity::Demands::default())?);
            Ok(judgement)
        });
        let verdict = match judged {
            Err(error) => Err(refuted(error.to_string())),
            Ok(judgement) => {
                lines.extend(judgement.verdicts.iter().map(|verdict| format!("{}: {verdict}", self.tenant)));
                if !judgement.is_valid() {
                    Err(refuted("the history is not valid".into()))
                } else if first_transfer_after(&history, killed_ns).is_none() {
                    Err(refuted("no money moved after the kill".into()))
                } else if last_total != total() {
                    Err(refuted(format!("{last_total} in the bank, {} expected", total())))
                } else {
                    Ok(())
                }
            }
        };
        Ok(Told { lines, verdict })
    }
}

fn history_file(folder: &Path, tenant: &str) -> PathBuf {
    folder.join(format!("history-{tenant}.jsonl"))
}

/// How many looks at all accounts were answered, and what the last one adds up to.
fn reads(history: &History) -> (usize, i64) {
    let mut count = 0;
    let mut last = 0;
    let mut open = std::collections::BTreeMap::new();
    for Event { what, .. } in &history.events {
        match what {
            What::Invoke { process, call } => {
                open.insert(*process, call.function.as_ref());
            }
            What::Complete { process, completion } if completion.outcome == Outcome::Ok => {
                if open.get(process) == Some(&functions::READ) {
                    let accounts = completion.value.as_list().unwrap_or_default();
                    let balance = |pair: &Value| pair.as_list().and_then(|pair| pair.get(1)?.as_int()).unwrap_or(0);
                    (count, last) = (count + 1, accounts.iter().map(balance).sum());
                }
            }
            What::Complete { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {}
        }
    }
    (count, last)
}

/// How long after that moment the first transfer was acknowledged that began after it.
pub fn first_transfer_after(history: &History, moment_ns: u64) -> Option<Duration> {
    let mut begun = std::collections::BTreeSet::new();
    for Event { time_ns, what, .. } in &history.events {
        match what {
            What::Invoke { process, call } if *time_ns >= moment_ns && call.function == functions::TRANSFER => {
                begun.insert(*process);
            }
            What::Complete { process, completion } => {
                let moved = completion.outcome == Outcome::Ok && completion.value.as_bool() == Some(true);
                if begun.remove(process) && moved {
                    return Some(Duration::from_nanos(time_ns - moment_ns));
                }
            }
            What::Invoke { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {}
        }
    }
    None
}
