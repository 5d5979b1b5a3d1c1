//! Health and metrics over HTTP/1.1: `GET /health` (JSON) and `GET /metrics` (Prometheus text), one answer per connection.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tenet_seam::{Listener, Seam, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Node;

/// A request must be here in this time, and in this many bytes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_BYTES_MAX: usize = 8 << 10;

/// Requests in service at once; more are closed at once.
const REQUESTS_MAX: usize = 16;

/// Serves until dropped.
pub async fn serve_admin(seam: Seam, listener: Box<dyn Listener>, node: Arc<Node>) {
    let places = Arc::new(tokio::sync::Semaphore::new(REQUESTS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            seam.sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (inner, node) = (seam.clone(), node.clone());
        seam.spawn("admin request", async move {
            if inner.timeout(REQUEST_TIMEOUT, answer(stream, &node)).await.is_err() {
                tracing::debug!("an admin request took too long");
            }
            drop(place);
        });
    }
}

async fn answer(mut stream: Stream, node: &Node) {
    let Some(line) = request_line(&mut stream).await else { return };
    let words: Vec<&str> = line.split(' ').collect();
    let (status, kind, body) = match words[..] {
        ["GET", "/health", _] => {
            let (healthy, body) = health(node);
            (if healthy { "200 OK" } else { "503 Service Unavailable" }, "application/json", body)
        }
        ["GET", "/metrics", _] => ("200 OK", "text/plain; version=0.0.4", metrics(node)),
        ["GET", path, _] => ("404 Not Found", "text/plain", format!("no {path} here: try /health or /metrics\n")),
        _ => ("405 Method Not Allowed", "text/plain", "only GET\n".to_owned()),
    };
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(response.as_bytes()).await.is_ok() && stream.shutdown().await.is_err() {
        tracing::debug!("an admin client left before its answer was whole");
    }
}

/// The first line of a request, once its head is complete.
async fn request_line(stream: &mut Stream) -> Option<String> {
    let mut head = Vec::new();
    let mut buf = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buf).await.ok()?;
        if count == 0 || head.len() + count > REQUEST_BYTES_MAX {
            return None;
        }
        head.extend_from_slice(&buf[..count]);
    }
    let text = String::from_utf8(head).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Whether every replica here knows a leader, and the details as JSON.
fn health(node: &Node) -> (bool, String) {
    let mut healthy = true;
    let mut shards = String::new();
    for view in node.shards().host().views.all() {
        healthy &= view.leader.is_some();
        let comma = if shards.is_empty() { "" } else { "," };
        let leader = view.leader.map_or("null".to_owned(), |node| node.0.to_string());
        write!(
            shards,
            "{comma}{{\"tenant\":{},\"shard\":{},\"leader\":{leader},\"term\":{},\"commit\":{},\"applied\":{}}}",
            view.descriptor.tenant.0, view.descriptor.shard.0, view.term.0, view.commit.0, view.meta.applied.0
        )
        .expect("a string takes everything");
    }
    let connected: Vec<String> = node.connected().iter().map(|node| node.0.to_string()).collect();
    let status = if healthy { "ok" } else { "no leader" };
    let body = format!(
        "{{\"status\":\"{status}\",\"node\":{},\"cluster\":\"{}\",\"connected\":[{}],\"shards\":[{shards}]}}\n",
        node.id().0,
        node.cluster(),
        connected.join(",")
    );
    (healthy, body)
}

fn metrics(node: &Node) -> String {
    let host = node.shards().host().stats();
    let wal = node.wal_stats();
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, rows: &[(String, u64)]| {
        write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a string takes everything");
        for (labels, value) in rows {
            writeln!(text, "{name}{labels} {value}").expect("a string takes everything");
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    metric("tenet_wal_batches_total", "counter", "Batches written to the log, each with one sync.", &one(host.batches));
    metric("tenet_wal_segments", "gauge", "Segments of the log.", &one(wal.segments));
    metric("tenet_wal_bytes", "gauge", "Bytes of the log.", &one(wal.bytes));
    metric("tenet_checkpoints_total", "counter", "Checkpoints of stores.", &one(host.checkpoints));
    metric("tenet_mail_dropped_total", "counter", "Messages dropped by full queues.", &one(host.mail_dropped));
    metric(
        "tenet_peers_connected",
        "gauge",
        "Other nodes with a live connection.",
        &one(node.connected().len() as u64),
    );
    let views = node.shards().host().views.all();
    let rows = |value: fn(&tenet_shard::ReplicaView) -> u64| -> Vec<(String, u64)> {
        views.iter().map(|view| (format!("{{shard=\"{}\"}}", view.descriptor.shard.0), value(view))).collect()
    };
    metric("tenet_shard_term", "gauge", "Raft term of the replica.", &rows(|view| view.term.0));
    metric("tenet_shard_leading", "gauge", "1 where the replica leads.", &rows(|view| u64::from(view.leading)));
    metric("tenet_shard_commit_index", "gauge", "Last entry known to be committed.", &rows(|view| view.commit.0));
    metric("tenet_shard_applied_index", "gauge", "Last entry applied.", &rows(|view| view.meta.applied.0));
    metric(
        "tenet_shard_elections_total",
        "counter",
        "Times that the replica became leader.",
        &rows(|view| view.elections),
    );
    metric(
        "tenet_shard_commits_waiting",
        "gauge",
        "Commits that wait for their outcome.",
        &rows(|view| view.waiting as u64),
    );
    text
}
