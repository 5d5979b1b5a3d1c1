//! Golden scripts: `scripts/<topic>/<subject_situation_outcome>`, one behaviour each, beside the drawing that it must give.
//!
//! A script is blocks of commands; after each block comes what happened, and every replica on one line. Nothing moves by
//! itself: a command moves one thing, or (`settle`) all but time. Election timeouts are 10, 11, 12 … ticks for r1, r2, r3 …
//!
//! ```text
//! cluster nodes=3 [batch=N] [window=N] [retry=N]     at most N entries per append, appends in flight, ticks to a new offer
//! elect 1                     ticks r1 to its timeout, and settles
//! campaign 1                  ticks r1 to its timeout
//! tick 1 [N] · tick all [N]   N times one tick, then settles what it caused only if `all`
//! propose 1 [N] [term=T]      N proposals in one step
//! read 1
//! settle                      disks, state machines and network, until nothing moves
//! deliver [1>2] [N|last]      what is on its way now; on one link; the first N; the last one
//! double 1>2                  delivers a copy of the first one
//! drop [1>2]                  loses what is on its way
//! slow 1 · fast 1             its disk works only on `sync` · by itself, when all settles
//! sync 1 [N]                  makes N records durable and reports it
//! busy 1 · idle 1             the same for its state machine, and `apply`
//! apply 1 [N]
//! partition 1 | 2 3           cuts all links between the groups, and no others
//! cut 1>2                     cuts one direction
//! heal
//! crash 1 [keep=N]            loses what is on its way to the disk, but for the first N records
//! restart 1
//! compact 1 INDEX             checkpoints and drops the log up to INDEX
//! logs                        draws all logs: [base] first..last@term
//! hush · show                 whether events are drawn
//! ```

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tenet_raft::Config;
use tenet_types::{LogIndex, ReplicaId, Term, be_strict};

use crate::cluster::Cluster;
use crate::draw;
use crate::host::Packet;

struct Script {
    cluster: Cluster,
    hushed: bool,
}

/// What follows the command: words, and `key=value`.
struct Arguments<'a> {
    words: Vec<&'a str>,
    options: Vec<(&'a str, u64)>,
}

impl<'a> Arguments<'a> {
    fn parse(line: &'a str) -> Arguments<'a> {
        let mut arguments = Arguments { words: Vec::new(), options: Vec::new() };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => arguments.options.push((key, number(value))),
                None => arguments.words.push(word),
            }
        }
        arguments
    }

    fn option(&self, key: &str, default: u64) -> u64 {
        self.options.iter().find(|(found, _)| *found == key).map_or(default, |(_, value)| *value)
    }

    fn at(&self, position: usize) -> usize {
        number(self.words[position]) as usize - 1
    }

    fn count(&self, position: usize, default: u64) -> u64 {
        self.words.get(position).map_or(default, |word| number(word))
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("not a number: {word}"))
}

fn link(word: &str) -> (ReplicaId, ReplicaId) {
    let (from, to) = word.split_once('>').unwrap_or_else(|| panic!("not a link: {word}"));
    (ReplicaId(number(from)), ReplicaId(number(to)))
}

/// Luck that makes r1's timeout 10 ticks, r2's 11, and so on.
fn luck(at: usize) -> u64 {
    at as u64
}

impl Script {
    fn new(arguments: &Arguments<'_>) -> Script {
        let voters: Vec<ReplicaId> = (1..=arguments.option("nodes", 3)).map(ReplicaId).collect();
        let config = |me| Config {
            me,
            voters: voters.clone(),
            election_ticks: 10,
            heartbeat_ticks: 2,
            append_entries_max: arguments.option("batch", 100),
            appends_in_flight_max: arguments.option("window", 8) as u32,
            snapshot_retry_ticks: arguments.option("retry", 8) as u32,
        };
        let mut lucks = 0..;
        let mut cluster =
            Cluster::new(voters.iter().map(|me| config(*me)).collect(), || lucks.next().expect("endless"));
        cluster.events = Some(Vec::new());
        Script { cluster, hushed: false }
    }

    fn run(&mut self, command: &str, arguments: &Arguments<'_>, out: &mut String) {
        let cluster = &mut self.cluster;
        match command {
            "elect" => {
                campaign(cluster, arguments.at(0));
                cluster.settle(luck);
            }
            "campaign" => campaign(cluster, arguments.at(0)),
            "tick" if arguments.words[0] == "all" => {
                for _ in 0..arguments.count(1, 1) {
                    for at in 0..cluster.hosts.len() {
                        cluster.tick(at, luck(at));
                    }
                    cluster.settle(luck);
                }
            }
            "tick" => {
                let at = arguments.at(0);
                for _ in 0..arguments.count(1, 1) {
                    cluster.tick(at, luck(at));
                }
            }
            "propose" => {
                let at = arguments.at(0);
                let count = arguments.count(1, 1);
                match arguments.option("term", 0) {
                    0 => cluster.propose(at, count, luck(at)),
                    term => cluster.propose_in(at, Term(term), count, luck(at)),
                }
            }
            "read" => cluster.read(arguments.at(0), luck(arguments.at(0))),
            "settle" => cluster.settle(luck),
            "deliver" => deliver(cluster, arguments),
            "double" => {
                let link = link(arguments.words[0]);
                let packet = cluster.packets.iter().find(|packet| is_on(packet, link)).cloned();
                let packet = packet.expect("something is on its way there");
                cluster.deliver(packet, luck(Cluster::position(link.1)));
            }
            "drop" => {
                let links = arguments.words.first().map(|word| link(word));
                cluster.packets.retain(|packet| links.is_some_and(|link| !is_on(packet, link)));
            }
            "slow" => assert!(cluster.slow.insert(arguments.at(0)), "it was slow"),
            "fast" => assert!(cluster.slow.remove(&arguments.at(0)), "it was fast"),
            "sync" => cluster.sync(arguments.at(0), arguments.count(1, u64::MAX) as usize, luck(arguments.at(0))),
            "busy" => assert!(cluster.busy.insert(arguments.at(0)), "it was busy"),
            "idle" => assert!(cluster.busy.remove(&arguments.at(0)), "it was idle"),
            "apply" => cluster.apply(arguments.at(0), arguments.count(1, u64::MAX) as usize, luck(arguments.at(0))),
            "partition" => partition(cluster, &arguments.words),
            "cut" => assert!(cluster.cut.insert(link(arguments.words[0])), "it was cut"),
            "heal" => cluster.cut.clear(),
            "crash" => cluster.crash(arguments.at(0), arguments.option("keep", 0) as usize),
            "restart" => cluster.restart(arguments.at(0), luck(arguments.at(0))),
            "compact" => {
                let at = arguments.at(0);
                cluster.checkpoint(at);
                cluster.compact(at, LogIndex(arguments.count(1, 0)), luck(at));
            }
            "logs" => {
                for host in &cluster.hosts {
                    writeln!(out, "{} log {}", host.me(), draw::log(&host.log)).expect("a string");
                }
            }
            "hush" => self.hushed = true,
            "show" => self.hushed = false,
            other => panic!("no such command: {other}"),
        }
        let events = self.cluster.events.replace(Vec::new()).expect("scripts draw events");
        if !self.hushed {
            for event in events {
                writeln!(out, "  {event}").expect("a string");
            }
        }
    }

    fn draw(&self, out: &mut String) {
        for host in &self.cluster.hosts {
            let waiting =
                if host.writing.is_empty() { String::new() } else { format!(" writing={}", host.writing.len()) };
            match &host.node {
                Some(node) => writeln!(out, "{node}{waiting}"),
                None => writeln!(out, "{} down", host.me()),
            }
            .expect("a string");
        }
        if !self.cluster.packets.is_empty() {
            writeln!(out, "{} on their way", self.cluster.packets.len()).expect("a string");
        }
    }
}

fn is_on(packet: &Packet, link: (ReplicaId, ReplicaId)) -> bool {
    (packet.from(), packet.to()) == link
}

/// Ticks a replica until it stands, or asks whether it should.
fn campaign(cluster: &mut Cluster, at: usize) {
    for _ in 0..30 {
        let before = cluster.packets.len();
        cluster.tick(at, luck(at));
        let alone = cluster.hosts.len() == 1;
        if cluster.packets.len() > before || alone {
            return;
        }
    }
    panic!("it does not stand: {:?}", cluster.node(at));
}

fn deliver(cluster: &mut Cluster, arguments: &Arguments<'_>) {
    let wanted = arguments.words.first().map(|word| link(word));
    let (mut chosen, rest): (Vec<Packet>, Vec<Packet>) = std::mem::take(&mut cluster.packets)
        .into_iter()
        .partition(|packet| wanted.is_none_or(|link| is_on(packet, link)));
    let later = match arguments.words.get(1) {
        None => Vec::new(),
        Some(&"last") => {
            let last = chosen.pop().expect("something is on its way there");
            std::mem::replace(&mut chosen, vec![last])
        }
        Some(count) => chosen.split_off(number(count) as usize),
    };
    cluster.packets = later.into_iter().chain(rest).collect();
    for packet in chosen {
        let at = Cluster::position(packet.to());
        cluster.deliver(packet, luck(at));
    }
}

fn partition(cluster: &mut Cluster, words: &[&str]) {
    cluster.cut.clear();
    let groups: Vec<Vec<u64>> =
        words.split(|word| *word == "|").map(|group| group.iter().map(|word| number(word)).collect()).collect();
    for (position, group) in groups.iter().enumerate() {
        let others = groups.iter().enumerate().filter(|(other, _)| *other != position).flat_map(|(_, others)| others);
        for other in others {
            cluster.cut.extend(group.iter().map(|one| (ReplicaId(*one), ReplicaId(*other))));
        }
    }
}

/// Runs a script; returns it with its drawing.
fn play(text: &str) -> String {
    let mut out = String::new();
    let mut script: Option<Script> = None;
    for block in text.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let mut drawn = String::new();
        let mut commands = 0;
        for line in block.lines() {
            writeln!(out, "{line}").expect("a string");
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            let arguments = Arguments::parse(rest);
            match (command.starts_with('#'), &mut script) {
                (true, _) => continue,
                (false, None) => {
                    assert!(command == "cluster", "a script begins with its cluster");
                    script = Some(Script::new(&arguments));
                }
                (false, Some(script)) => script.run(command, &arguments, &mut drawn),
            }
            commands += 1;
        }
        if let (true, Some(script)) = (commands > 0, &script) {
            script.draw(&mut drawn);
            writeln!(out, "---\n{drawn}").expect("a string");
        }
    }
    out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// The files of a folder that are not drawings, in order.
fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_none());
    paths.sort();
    paths
}

#[test]
fn scripts_give_their_drawings() {
    be_strict();
    let mut failed = Vec::new();
    let mut count = 0;
    for topic in listed(&folder()) {
        for path in listed(&topic) {
            count += 1;
            let name = path.file_name().expect("a file has a name").to_str().expect("names are plain").to_string();
            let text = std::fs::read_to_string(&path).expect("a readable script");
            let mut settings = insta::Settings::clone_current();
            settings.set_snapshot_path(&topic);
            settings.set_prepend_module_to_snapshot(false);
            settings.set_omit_expression(true);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                settings.bind(|| insta::assert_snapshot!(name.as_str(), play(&text)));
            }));
            if outcome.is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "{} of {count} scripts failed: {failed:#?}", failed.len());
    assert!(count >= 20, "only {count} scripts were found");
}
