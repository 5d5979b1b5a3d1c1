//! The real thing: processes, sockets, files, signals. Safety and progress are asserted, never times; what is waited for has a
//! bound that only a hang exceeds.
//!
//! One binary, because each that reaches DataFusion costs a quarter of a gigabyte (floors, F5).

#[path = "../../core/front/answers/mod.rs"]
mod answers;
#[path = "e2e/bad_input.rs"]
mod bad_input;
#[path = "e2e/kills.rs"]
mod kills;
#[path = "e2e/life.rs"]
mod life;
#[path = "e2e/malformed.rs"]
mod malformed;

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tenet_server::cluster::Cluster;
use tenet_server::pg_client::PgClient;
use tenet_workloads::{Cell, Client, ClientError, Rows};

/// Long beside everything that is waited for, on a busy machine too.
const WITHIN: Duration = Duration::from_secs(60);

fn executable() -> PathBuf {
    env!("CARGO_BIN_EXE_tenet").into()
}

/// Nodes that are up, in a folder that is gone when it is dropped.
async fn cluster(node_count: u64) -> (Cluster, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(executable(), folder.path().to_owned(), node_count).unwrap();
    cluster.start_all().unwrap();
    cluster.wait_until_ready(WITHIN).await.unwrap();
    (cluster, folder)
}

/// A client of node 1, connected; patient while the node starts, and makes its first database.
async fn connect(cluster: &Cluster, database: &str) -> PgClient {
    let mut client = PgClient::new(vec![cluster.member(1).sql.clone()], 0, database);
    let start = Instant::now();
    while let Err(error) = client.reconnect().await {
        let starting = matches!(error.sqlstate.as_deref(), None | Some("57P03"))
            || database == "postgres" && error.sqlstate.as_deref() == Some("3D000");
        assert!(starting && start.elapsed() < WITHIN, "{database}: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client
}

async fn run(client: &mut PgClient, sql: &str) -> Result<Rows, ClientError> {
    client.execute(sql, &[]).await
}

async fn only_int(client: &mut PgClient, sql: &str) -> i64 {
    match run(client, sql).await.unwrap().rows[..] {
        [ref row] => match row[..] {
            [Cell::Int(int)] => int,
            _ => panic!("{sql}: {row:?}"),
        },
        ref rows => panic!("{sql}: {rows:?}"),
    }
}

/// Runs the command to its end; answers its exit code and what it said.
fn tenet(arguments: &[&str]) -> (Option<i32>, String) {
    let mut said = tempfile::tempfile().unwrap();
    let stderr = said.try_clone().unwrap();
    let mut child = Command::new(executable()).args(arguments).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > WITHIN {
            child.kill().unwrap();
            break child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut text = String::new();
    said.seek(SeekFrom::Start(0)).unwrap();
    said.read_to_string(&mut text).unwrap();
    (status.code(), text)
}

/// Starts a node that must not come up, and answers what it said.
fn refused(arguments: &[String], code: i32) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (ended, said) = tenet(&arguments);
    assert_eq!(ended, Some(code), "{arguments:?}: {said}");
    said
}

/// The last line: what the command says after its log.
fn last_line(said: &str) -> &str {
    said.trim_end().lines().last().unwrap_or_default()
}

fn overwrite(path: &Path, offset: usize, bytes: &[u8]) {
    let mut content = std::fs::read(path).unwrap();
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
    std::fs::write(path, content).unwrap();
}
