//! Three processes, killed and restarted in turn under load; what the clients saw goes to the judge of the simulator.

use std::sync::Arc;

use tenet_histories::Process;
use tenet_server::demo::create_database;
use tenet_server::surroundings::{RealTime, any_seed};
use tenet_workloads::{Bank, BankOptions, Luck, Pace, Register, RegisterOptions, Run, RunOptions, Workload};
use tokio::task::JoinHandle;

use super::*;

const CLIENTS: u32 = 4;

/// What must succeed between two disturbances before the next comes.
const PROGRESS: u64 = 40;

struct Load {
    database: &'static str,
    run: Run,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(
        cluster: &Cluster,
        database: &'static str,
        workload: Arc<dyn Workload>,
        time: &Arc<RealTime>,
    ) -> Load {
        let addresses = cluster.sql_addresses();
        create_database(&addresses, database).await.unwrap();
        let run = Run::new(workload, time.clone(), RunOptions { timestamps: true, ..RunOptions::default() });
        let mut luck = Luck::from_seed(any_seed());
        run.set_up(&mut PgClient::new(addresses.clone(), 0, database), &mut luck, WITHIN).await.unwrap();
        let mut clients = Vec::new();
        for process in 0..CLIENTS {
            let (run, mut client) = (run.clone(), PgClient::new(addresses.clone(), process as usize, database));
            clients.push(tokio::spawn(async move {
                let mut luck = Luck::from_seed(any_seed());
                let pace = Pace::per_second(100.0);
                run.process(Process(process), &mut client, &mut luck, pace).await;
            }));
        }
        Load { database, run, clients }
    }

    async fn end(self, cluster: &Cluster) {
        self.run.stop.stop();
        for client in self.clients {
            client.await.unwrap();
        }
        let mut client = PgClient::new(cluster.sql_addresses(), 0, self.database);
        let mut luck = Luck::from_seed(any_seed());
        self.run.finish(Process(CLIENTS), &mut client, &mut luck, WITHIN).await.unwrap();
        let history = self.run.recorder.history();
        let judgement = self.run.workload.check(&history).unwrap();
        if !judgement.is_valid() {
            let file = std::env::temp_dir().join(format!("tenet-e2e-{}-{}.jsonl", self.database, std::process::id()));
            tenet_histories::write_file(&history, &file).unwrap();
            panic!("{}: {judgement}\nthe history is kept in {}", self.database, file.display());
        }
    }
}

/// Waits until every load has had so many more successes.
async fn progress(cluster: &mut Cluster, loads: &[Load], what: &str) {
    let before: Vec<u64> = loads.iter().map(|load| load.run.recorder.counts().ok).collect();
    cluster
        .wait(&format!("progress {what}"), WITHIN, async |_| {
            let now = loads.iter().map(|load| load.run.recorder.counts().ok);
            now.zip(&before).all(|(now, before)| now >= before + PROGRESS).then_some(())
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_outlive_every_node_in_turn() {
    let (mut cluster, _folder) = cluster(3).await;
    let time = Arc::new(RealTime::new());
    let bank = BankOptions { account_count: 4, balance: 100, amount_max: 10, reads_percent: 30 };
    let register = RegisterOptions { key_count: 3, reads_percent: 40, writes_percent: 25, blocks_percent: 30 };
    let loads = [
        Load::start(&cluster, "bank", Arc::new(Bank::new(bank)), &time).await,
        Load::start(&cluster, "register", Arc::new(Register::new(register)), &time).await,
    ];
    progress(&mut cluster, &loads, "before any kill").await;
    for node in 1..=3 {
        cluster.kill(node).unwrap();
        progress(&mut cluster, &loads, &format!("without node {node}")).await;
        cluster.start(node).unwrap();
        cluster.wait_until_caught_up(node, WITHIN).await.unwrap();
        progress(&mut cluster, &loads, &format!("with node {node} again")).await;
    }
    // All at once: nothing but the disks remembers.
    for node in 1..=3 {
        cluster.kill(node).unwrap();
    }
    cluster.start_all().unwrap();
    cluster.wait_until_ready(WITHIN).await.unwrap();
    progress(&mut cluster, &loads, "after all were killed").await;
    for load in loads {
        load.end(&cluster).await;
    }
    cluster.terminate_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_keeps_what_it_acknowledged() {
    let (mut cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    run(&mut client, "CREATE TABLE t (id bigint PRIMARY KEY)").await.unwrap();
    let mut acknowledged = 0;
    for round in 0..3 {
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            run(&mut client, &format!("INSERT INTO t VALUES ({acknowledged})")).await.unwrap();
            acknowledged += 1;
        }
        cluster.kill(1).unwrap();
        cluster.start(1).unwrap();
        cluster.wait_until_ready(WITHIN).await.unwrap();
        client.reconnect().await.unwrap();
        assert_eq!(only_int(&mut client, "SELECT count(*) FROM t").await, acknowledged, "round {round}");
    }
}
