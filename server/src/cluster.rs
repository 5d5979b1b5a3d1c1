//! A cluster of child processes on this machine: what the demo, the benchmarks and the end-to-end tests run against.
//!
//! Each node has a folder of its own below one folder, with its log beside it, and ends with this process however that ends
//! (the kernel sees to it). Nothing here knows what a node does inside: it asks over HTTP, as an operator would.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Ports are taken from below those that the kernel gives to outgoing connections (32768 and up, on Linux): else a client of
/// ours could sit on a killed node's port when it returns.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

const ASK_WITHIN: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How long a node may take to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("cannot {what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("node {node} ended ({status}); its log is {log}:\n{tail}")]
    Ended { node: u64, status: ExitStatus, log: String, tail: String },
    #[error("{what} did not happen within {} s", .within.as_secs())]
    TooSlow { what: String, within: Duration },
}

/// Nodes are numbered from 1, as on the command line.
pub struct Cluster {
    executable: PathBuf,
    folder: PathBuf,
    pub nodes: Vec<Member>,
}

pub struct Member {
    pub node: u64,
    pub sql: String,
    pub admin: String,
    peer: String,
    child: Option<Child>,
}

/// What `GET /health` says.
#[derive(Debug, Deserialize)]
pub struct Health {
    pub status: String,
    pub connected: Vec<u64>,
    pub shards: Vec<ShardHealth>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ShardHealth {
    pub tenant: u64,
    pub shard: u64,
    pub leader: Option<u64>,
    pub commit: u64,
    pub applied: u64,
}

impl Cluster {
    /// Chooses ports; starts nothing.
    pub fn new(executable: PathBuf, folder: PathBuf, node_count: u64) -> Result<Cluster, ClusterError> {
        let ports = free_ports(3 * node_count as usize).map_err(failed("find free ports"))?;
        let member = |(ports, node): (&[u16], u64)| {
            let at = |port: u16| format!("127.0.0.1:{port}");
            Member { node, sql: at(ports[0]), peer: at(ports[1]), admin: at(ports[2]), child: None }
        };
        let nodes = ports.chunks_exact(3).zip(1..).map(member).collect();
        Ok(Cluster { executable, folder, nodes })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn data(&self, node: u64) -> PathBuf {
        self.folder.join(format!("node-{node}"))
    }

    pub fn log(&self, node: u64) -> PathBuf {
        self.folder.join(format!("node-{node}.log"))
    }

    pub fn sql_addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|member| member.sql.clone()).collect()
    }

    pub fn member(&self, node: u64) -> &Member {
        self.nodes.iter().find(|member| member.node == node).expect("a node of this cluster")
    }

    fn member_mut(&mut self, node: u64) -> &mut Member {
        self.nodes.iter_mut().find(|member| member.node == node).expect("a node of this cluster")
    }

    /// The options with which a node is started, but for those of the log.
    pub fn arguments(&self, node: u64) -> Vec<String> {
        let member = self.member(node);
        let mut arguments = vec!["start".to_owned(), "--data".to_owned(), self.data(node).display().to_string()];
        arguments.extend(["--listen", &member.sql, "--admin-listen", &member.admin].map(str::to_owned));
        if self.nodes.len() > 1 {
            let peers: Vec<String> = self.nodes.iter().map(|peer| format!("{}={}", peer.node, peer.peer)).collect();
            arguments.extend(["--node".to_owned(), node.to_string(), "--peers".to_owned(), peers.join(",")]);
        }
        arguments
    }

    pub fn start_all(&mut self) -> Result<(), ClusterError> {
        (1..=self.nodes.len() as u64).try_for_each(|node| self.start(node))
    }

    /// The thread that calls this has to last as long as the node: the kernel takes its end for the parent's.
    pub fn start(&mut self, node: u64) -> Result<(), ClusterError> {
        let log_path = self.log(node);
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.map_err(failed(format!("open {}", log_path.display())))?;
        let mut command = Command::new(&self.executable);
        command.args(self.arguments(node)).args(["--die-with-parent", &std::process::id().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(failed(format!("start {}", self.executable.display())))?;
        let member = self.member_mut(node);
        assert!(member.child.is_none(), "node {node} is running");
        member.child = Some(child);
        Ok(())
    }

    /// SIGKILL: no farewell, nothing flushed. Ready when the process is gone.
    pub fn kill(&mut self, node: u64) -> Result<(), ClusterError> {
        if let Some(mut child) = self.member_mut(node).child.take() {
            child.kill().and_then(|()| child.wait()).map_err(failed(format!("kill node {node}")))?;
        }
        Ok(())
    }

    /// SIGTERM. Ready when the process has ended; `None` if it was not running.
    pub async fn terminate(&mut self, node: u64) -> Result<Option<ExitStatus>, ClusterError> {
        let Some(mut child) = self.member_mut(node).child.take() else { return Ok(None) };
        let what = || format!("end node {node}");
        kill_process(Pid::from_child(&child), Signal::TERM).map_err(|error| failed(what())(error.into()))?;
        let start = Instant::now();
        while start.elapsed() < END_WITHIN {
            if let Some(status) = child.try_wait().map_err(failed(what()))? {
                return Ok(Some(status));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        child.kill().and_then(|()| child.wait()).map_err(failed(what()))?;
        Err(ClusterError::TooSlow { what: format!("the end of node {node}"), within: END_WITHIN })
    }

    pub async fn terminate_all(&mut self) -> Result<(), ClusterError> {
        for node in 1..=self.nodes.len() as u64 {
            self.terminate(node).await?;
        }
        Ok(())
    }

    pub fn is_running(&self, node: u64) -> bool {
        self.member(node).child.is_some()
    }

    /// The process id, for looking at it from outside.
    pub fn pid(&self, node: u64) -> Option<u32> {
        self.member(node).child.as_ref().map(Child::id)
    }

    /// Fails if a node that should run does not.
    pub fn look_after(&mut self) -> Result<(), ClusterError> {
        for index in 0..self.nodes.len() {
            let member = &mut self.nodes[index];
            let node = member.node;
            let Some(child) = &mut member.child else { continue };
            if let Some(status) = child.try_wait().map_err(failed(format!("look after node {node}")))? {
                member.child = None;
                let log = self.log(node);
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(15)..].join("\n");
                return Err(ClusterError::Ended { node, status, log: log.display().to_string(), tail });
            }
        }
        Ok(())
    }

    /// What the node says of itself; `None` while it does not answer.
    pub async fn health(&self, node: u64) -> Option<Health> {
        let body = self.ask(node, "/health").await?;
        serde_json::from_str(&body).ok()
    }

    /// The body of its answer to `GET path`.
    pub async fn ask(&self, node: u64, path: &str) -> Option<String> {
        let admin = &self.member(node).admin;
        let exchange = async {
            let mut stream = TcpStream::connect(admin).await?;
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\n\r\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            io::Result::Ok(answer)
        };
        let answer = tokio::time::timeout(ASK_WITHIN, exchange).await.ok()?.ok()?;
        answer.split_once("\r\n\r\n").map(|(_head, body)| body.to_owned())
    }

    /// Waits until all running nodes know a leader for each of their shards.
    pub async fn wait_until_ready(&mut self, within: Duration) -> Result<(), ClusterError> {
        let nodes: Vec<u64> = self.nodes.iter().map(|member| member.node).collect();
        self.wait("a cluster with leaders", within, async |cluster| {
            for node in nodes.iter().copied().filter(|node| cluster.is_running(*node)) {
                let ready = cluster.health(node).await.is_some_and(|health| health.status == "ok");
                if !ready {
                    return None;
                }
            }
            Some(())
        })
        .await
    }

    /// Asks again and again until there is an answer. Fails early when a node has ended.
    pub async fn wait<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut ask: impl AsyncFnMut(&Cluster) -> Option<T>,
    ) -> Result<T, ClusterError> {
        let start = Instant::now();
        loop {
            self.look_after()?;
            if let Some(answer) = ask(self).await {
                return Ok(answer);
            }
            if start.elapsed() > within {
                return Err(ClusterError::TooSlow { what: what.to_owned(), within });
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// All that any running node knows of the shards: of each, the view of its leader, or the most advanced one.
    pub async fn shards(&self) -> Vec<ShardHealth> {
        let mut shards: Vec<ShardHealth> = Vec::new();
        for member in self.nodes.iter().filter(|member| member.child.is_some()) {
            for view in self.health(member.node).await.map(|health| health.shards).unwrap_or_default() {
                let leads = |leader: Option<u64>| leader == Some(member.node);
                match shards.iter_mut().find(|shard| shard.shard == view.shard) {
                    Some(known) if view.commit > known.commit || leads(view.leader) => *known = view,
                    Some(_) => {}
                    None => shards.push(view),
                }
            }
        }
        shards
    }

    /// Waits until the node has applied all that is committed now. Answers how many entries of how many shards that is.
    pub async fn wait_until_caught_up(&mut self, node: u64, within: Duration) -> Result<(u64, usize), ClusterError> {
        let goal = self.shards().await;
        self.wait(&format!("node {node} catching up"), within, async |cluster| {
            let health = cluster.health(node).await?;
            let has = |shard: &ShardHealth| {
                health.shards.iter().any(|own| own.shard == shard.shard && own.applied >= shard.commit)
            };
            goal.iter().all(has).then_some(())
        })
        .await?;
        Ok((goal.iter().map(|shard| shard.commit).sum(), goal.len()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.nodes {
            if let Some(mut child) = member.child.take() {
                // It may have ended by itself, and then there is nobody to kill.
                child.kill().ok();
                child.wait().ok();
            }
        }
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ClusterError {
    let what = what.into();
    |source| ClusterError::Io { what, source }
}

/// Ports that nobody listens on now. No port is given twice by this process: one of a node that was killed is free as long as
/// that is dead, and nobody else's. Another process may take one before we do: then the node says so and ends.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    static FIRST: OnceLock<usize> = OnceLock::new();
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let width = usize::from(PORTS.end - PORTS.start);
    // Processes that look at the same moment begin at different places.
    let first = FIRST.get_or_init(|| {
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        (std::process::id() as usize).wrapping_mul(7919) + nanos as usize / 64
    });
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        if step >= width {
            let problem = format!("{count} free ports wanted, {} found", found.len());
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, problem));
        }
        let port = PORTS.start + ((first + step) % width) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            found.push(port);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a cluster that is made while another's node is dead could sit on its ports when it returns.
    #[test]
    fn a_port_is_given_once() {
        let mut given: Vec<u16> = (0..100).flat_map(|_| free_ports(9).unwrap()).collect();
        given.sort_unstable();
        assert!(given.windows(2).all(|two| two[0] != two[1]), "{given:?}");
    }
}
