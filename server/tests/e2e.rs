//! The real thing: processes, sockets, files, signals. Safety and progress are asserted, never times; what is waited for has a
//! bound that only a hang exceeds.
//!
//! One binary, because each that reaches DataFusion costs a quarter of a gigabyte (floors, F5).

#[path = "e2e/bad_input.rs"]
mod bad_input;
#[path = "e2e/kills.rs"]
mod kills;
#[path = "e2e/life.rs"]
mod life;
#[path = "e2e/malformed.rs"]
mod malformed;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use tenet_server::cluster::Cluster;
use tenet_server::pg_client::PgClient;
use tenet_workloads::{Cell, Client, ClientError, Rows};

/// Long beside everything that is waited for, on a busy machine too.
const WITHIN: Duration = Duration::from_secs(120);

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

/// A client of node 1, connected.
async fn connect(cluster: &Cluster, database: &str) -> PgClient {
    let mut client = PgClient::new(vec![cluster.member(1).sql.clone()], 0, database);
    client.reconnect().await.unwrap();
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

/// Runs the command to its end.
fn tenet(arguments: &[&str]) -> Output {
    Command::new(executable()).args(arguments).output().unwrap()
}

/// Starts a node that must not come up, and answers what it said.
fn refused(arguments: &[String], code: i32) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = tenet(&arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
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
