//! `tenet start`: one node, until it is told to end.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rustix::process::Signal;
use tenet_front::FrontOptions;
use tenet_node::{Node, NodeError, NodeOptions, serve_admin};
use tenet_seam::{Address, Listener, Seam};
use tenet_types::NodeId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::log::{self, LogFormat};
use crate::seam::{self, FolderError};

/// What a clean end may take. What is not made durable by then is replayed from the log by the next start.
const STOP_WITHIN: Duration = Duration::from_secs(20);

#[derive(Args, Debug)]
pub struct StartOptions {
    /// The data folder of this node; made if absent
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The number of this node among the peers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    node: u64,
    /// All nodes of the cluster with the addresses at which they reach each other; without it, this node is alone
    #[arg(long, value_name = "1=HOST:PORT,2=…", value_delimiter = ',', value_parser = parse_peer)]
    peers: Vec<(NodeId, Address)>,
    /// Where clients reach this node with the Postgres protocol
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5433", value_parser = parse_address)]
    listen: Address,
    /// Where the other nodes reach this one, if not at its address in --peers
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    peer_listen: Option<Address>,
    /// Where GET /health and GET /metrics are answered; nowhere unless said
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_address)]
    admin_listen: Option<Address>,
    /// Listen beyond this machine, although nobody is asked for a password yet
    #[arg(long)]
    insecure: bool,
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// error, warn, info, debug, trace, or a list such as "info,tenet_shard=debug"
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// End when the process of this number ends, however it ends
    #[arg(long, value_name = "PID", hide = true)]
    die_with_parent: Option<u32>,
}

/// Why a node did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Option(String),
    #[error(
        "{option} {address} is reachable from other machines, and nobody is asked for a password yet; listen on 127.0.0.1, \
         or say --insecure"
    )]
    Exposed { option: &'static str, address: Address },
    #[error("{option}: {source}; choose another address")]
    Listen { option: &'static str, source: std::io::Error },
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Paths in the reason are relative to the folder.
    #[error("{source} (data folder {data})")]
    Node { source: NodeError, data: String },
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    #[error("did not end in {} s; what was acknowledged is in the log", STOP_WITHIN.as_secs())]
    StopTooSlow,
}

/// Runs until SIGTERM or SIGINT.
pub fn start(options: StartOptions) -> Result<(), StartError> {
    if let Some(parent) = options.die_with_parent {
        end_with(parent)?;
    }
    let peers = collect_peers(&options)?;
    for (option, address) in listens(&options, &peers) {
        if !options.insecure && reaches_beyond(address) {
            return Err(StartError::Exposed { option, address: address.clone() });
        }
    }
    log::start(options.log_format, &options.log_level).map_err(StartError::Option)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(options, peers));
    // Sessions that wait for clients are not waited for.
    runtime.shutdown_background();
    result
}

async fn serve(options: StartOptions, peers: BTreeMap<NodeId, Address>) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Its default is death without a word. Handled, a write beyond `ulimit -f` fails like one on a full disk.
    let _file_too_large = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let seam = seam::open(&options.data)?;
    // Both before the node starts, which may wait for others: a port in use is said at once.
    let sql = listen(&seam, "--listen", &options.listen).await?;
    let admin = match &options.admin_listen {
        Some(address) => Some(listen(&seam, "--admin-listen", address).await?),
        None => None,
    };
    let (sql_address, admin_address) = (sql.address(), admin.as_ref().map(|admin| admin.address().0));

    // From now on, so that whoever comes before the node is up hears that it has to wait.
    let (stop, stopped) = watch::channel(false);
    let (engine, slot) = watch::channel(None);
    let (front_ended, front_end) = oneshot::channel();
    let front_options = FrontOptions { stop: stopped, ..FrontOptions::default() };
    let front = tenet_front::serve(seam.clone(), sql, slot, front_options);
    seam.spawn("sql", async move {
        front.await;
        // Nobody waits for it while the node is not ending.
        front_ended.send(()).ok();
    });

    let node_options = NodeOptions {
        node: NodeId(options.node),
        peers,
        peer_listen: options.peer_listen.clone(),
        ..NodeOptions::single()
    };
    let node = tokio::select! {
        biased;
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
        node = Node::start(seam.clone(), node_options) => node.map_err(|source| node_error(source, &options))?,
    };
    engine.send_replace(Some(node.engine()));
    tracing::info!(
        node = options.node,
        version = env!("CARGO_PKG_VERSION"),
        sql = sql_address.0,
        admin = admin_address,
        data = %options.data.display(),
        "ready for clients"
    );
    // After it was said: who hears that the node is well finds it in the log.
    if let Some(admin) = admin {
        seam.spawn("admin", serve_admin(seam.clone(), admin, node.clone()));
    }

    tokio::select! {
        biased;
        _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
    }
    stop.send_replace(true);
    let end = async {
        // Clients are told, running statements may finish; an error only says that the front end is gone already.
        front_end.await.ok();
        node.stop().await
    };
    tokio::select! {
        biased;
        ended = end => ended.map_err(|source| node_error(source, &options))?,
        _ = terminate.recv() => return Err(StartError::StopTooSlow),
        _ = interrupt.recv() => return Err(StartError::StopTooSlow),
        () = tokio::time::sleep(STOP_WITHIN) => return Err(StartError::StopTooSlow),
    }
    tracing::info!("ended");
    Ok(())
}

fn node_error(source: NodeError, options: &StartOptions) -> StartError {
    StartError::Node { source, data: options.data.display().to_string() }
}

async fn listen(seam: &Seam, option: &'static str, address: &Address) -> Result<Box<dyn Listener>, StartError> {
    seam.net.listen(address).await.map_err(|source| StartError::Listen { option, source })
}

/// Asks the kernel to end this process with its parent, and looks whether the parent has ended before it was asked.
fn end_with(parent: u32) -> Result<(), StartError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(std::io::Error::from)?;
    if std::os::unix::process::parent_id() != parent {
        return Err(StartError::Option(format!("--die-with-parent {parent}: that process has ended already")));
    }
    Ok(())
}

fn collect_peers(options: &StartOptions) -> Result<BTreeMap<NodeId, Address>, StartError> {
    let mut peers = BTreeMap::new();
    for (node, address) in &options.peers {
        if peers.insert(*node, address.clone()).is_some() {
            return Err(StartError::Option(format!("--peers lists node {} twice", node.0)));
        }
    }
    if peers.is_empty() && options.node != 1 {
        let told = format!("--node {} needs --peers: without it a node is alone, and is node 1", options.node);
        return Err(StartError::Option(told));
    }
    Ok(peers)
}

/// Every address that this process will listen on, with the option that says so.
fn listens<'a>(options: &'a StartOptions, peers: &'a BTreeMap<NodeId, Address>) -> Vec<(&'static str, &'a Address)> {
    let mut listens = vec![("--listen", &options.listen)];
    listens.extend(options.admin_listen.as_ref().map(|address| ("--admin-listen", address)));
    if peers.len() > 1 {
        let own = peers.get(&NodeId(options.node)).map(|address| ("--peers", address));
        listens.extend(options.peer_listen.as_ref().map(|address| ("--peer-listen", address)).or(own));
    }
    listens
}

/// A name that does not resolve is not judged here: listening on it will fail with its reason.
fn reaches_beyond(address: &Address) -> bool {
    let Ok(mut resolved) = address.0.to_socket_addrs() else { return false };
    resolved.any(|address| !address.ip().is_loopback())
}

fn parse_address(text: &str) -> Result<Address, String> {
    let (host, port) = text.rsplit_once(':').ok_or("expected HOST:PORT")?;
    if host.is_empty() {
        return Err("expected HOST:PORT; to listen everywhere say 0.0.0.0:PORT".into());
    }
    port.parse::<u16>().map_err(|_| format!("{port:?} is no port"))?;
    Ok(Address(text.to_owned()))
}

fn parse_peer(text: &str) -> Result<(NodeId, Address), String> {
    let (node, address) = text.split_once('=').ok_or("expected N=HOST:PORT")?;
    match node.parse() {
        Ok(node @ 1..=1000) => Ok((NodeId(node), parse_address(address)?)),
        _ => Err(format!("{node:?} is no node: they are numbered from 1 to 1000")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        start: StartOptions,
    }

    fn parse(line: &str) -> Result<StartOptions, String> {
        let words = ["tenet", "--data", "d"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.start).map_err(|error| error.to_string())
    }

    #[test]
    fn peers_are_read() {
        let options = parse("--node 2 --peers 1=a:1,2=b:2,3=[::1]:3").unwrap();
        let peers = collect_peers(&options).unwrap();
        assert_eq!(peers.values().map(|peer| peer.0.as_str()).collect::<Vec<_>>(), ["a:1", "b:2", "[::1]:3"]);
        for (line, told) in [
            ("--peers 1=a", "expected HOST:PORT"),
            ("--peers a:1", "expected N=HOST:PORT"),
            ("--peers 0=a:1", "no node"),
            ("--peers x=a:1", "no node"),
            ("--peers 1=a:99999", "no port"),
            ("--node 0", "0 is not in 1..=1000"),
            ("--listen :5433", "0.0.0.0:PORT"),
            ("--unknown", "--unknown"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(told), "{line}: {error}");
        }
        let twice = collect_peers(&parse("--peers 1=a:1,1=b:1").unwrap()).unwrap_err();
        assert_eq!(twice.to_string(), "--peers lists node 1 twice");
        let alone = collect_peers(&parse("--node 2").unwrap()).unwrap_err();
        assert!(alone.to_string().starts_with("--node 2 needs --peers"), "{alone}");
    }

    #[test]
    fn only_loopback_without_insecure() {
        let exposed = |line: &str| {
            let options = parse(line).unwrap();
            let peers = collect_peers(&options).unwrap();
            let all = listens(&options, &peers);
            all.into_iter().filter(|(_, address)| reaches_beyond(address)).map(|(option, _)| option).collect::<Vec<_>>()
        };
        assert_eq!(exposed(""), [""; 0]);
        assert_eq!(exposed("--listen localhost:1 --admin-listen [::1]:1"), [""; 0]);
        assert_eq!(exposed("--listen 0.0.0.0:1 --admin-listen 10.1.2.3:1"), ["--listen", "--admin-listen"]);
        assert_eq!(exposed("--peers 1=10.0.0.1:1,2=10.0.0.2:1"), ["--peers"]);
        assert_eq!(exposed("--peers 1=10.0.0.1:1,2=10.0.0.2:1 --peer-listen [::]:1"), ["--peer-listen"]);
        assert_eq!(exposed("--peers 1=10.0.0.1:1,2=10.0.0.2:1 --peer-listen 127.0.0.1:1"), [""; 0]);
        assert_eq!(exposed("--peers 1=10.0.0.1:1"), [""; 0], "alone it listens for nobody");
    }
}
