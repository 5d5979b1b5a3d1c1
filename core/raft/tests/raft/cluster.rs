//! Hosts, the network between them, and the judge that looks on after each step.

use std::collections::BTreeSet;

use tenet_raft::{Config, Effects, Input, Message, Node, ProposalId, ReadId, Reply};
use tenet_types::{LogIndex, ReplicaId, Term};

use crate::draw;
use crate::host::{Host, Machine, Packet, Payload};
use crate::judge::{Judge, check_promise};

/// Payloads of no-ops are marked so; the term makes them unique.
pub const NOOP: Payload = 1 << 63;

/// Without time, talk must end; a cluster that goes on is in a loop. (Hundreds of entries, one per append, take a few rounds each.)
const SETTLE_ROUNDS_MAX: u32 = 5000;

pub struct Cluster {
    pub hosts: Vec<Host>,
    /// On their way, in the order in which they were sent.
    pub packets: Vec<Packet>,
    /// Links that lose everything.
    pub cut: BTreeSet<(ReplicaId, ReplicaId)>,
    pub judge: Judge,
    /// Disks that do nothing by themselves, and state machines that do not.
    pub slow: BTreeSet<usize>,
    pub busy: BTreeSet<usize>,
    /// What happened, drawn, if anyone wants to see it.
    pub events: Option<Vec<String>>,
    proposals: u64,
    reads: u64,
}

impl Cluster {
    pub fn new(configs: Vec<Config>, mut luck: impl FnMut() -> u64) -> Cluster {
        let judge = Judge::new(configs.len());
        let hosts = configs.into_iter().map(|config| Host::new(config, luck())).collect();
        Cluster {
            hosts,
            packets: Vec::new(),
            cut: BTreeSet::new(),
            slow: BTreeSet::new(),
            busy: BTreeSet::new(),
            judge,
            events: None,
            proposals: 0,
            reads: 0,
        }
    }

    pub fn node(&self, at: usize) -> Option<&Node> {
        self.hosts[at].node.as_ref()
    }

    /// Replicas are numbered from 1.
    pub fn position(replica: ReplicaId) -> usize {
        replica.0 as usize - 1
    }

    pub fn tick(&mut self, at: usize, luck: u64) {
        self.step(at, Input::Tick, luck, &[]);
    }

    /// Proposes in the term in which it leads, or would if it did.
    pub fn propose(&mut self, at: usize, count: u64, luck: u64) {
        let Some(node) = self.node(at) else { return };
        let term = node.status().term;
        self.propose_in(at, term, count, luck);
    }

    pub fn propose_in(&mut self, at: usize, term: Term, count: u64, luck: u64) {
        if self.node(at).is_none() {
            return;
        }
        let proposals: Vec<ProposalId> = (1..=count).map(|one| ProposalId(self.proposals + one)).collect();
        self.proposals += count;
        for proposal in &proposals {
            self.judge.on_propose(at, *proposal);
        }
        self.step(at, Input::Propose { term, proposals }, luck, &[]);
    }

    pub fn read(&mut self, at: usize, luck: u64) {
        if self.node(at).is_some() {
            self.reads += 1;
            self.judge.on_read(at, ReadId(self.reads));
            self.step(at, Input::Read { read: ReadId(self.reads) }, luck, &[]);
        }
    }

    /// Brings a packet to its receiver, unless it is down or the link is cut.
    pub fn deliver(&mut self, packet: Packet, luck: u64) {
        let at = Cluster::position(packet.to());
        let lost = self.cut.contains(&(packet.from(), packet.to())) || self.node(at).is_none();
        self.event(|| format!("{}{}", draw::packet(&packet), if lost { "  ✗" } else { "" }));
        if lost {
            return;
        }
        match packet {
            Packet::Message { from, message, payloads, .. } => {
                self.step(at, Input::Receive { from, message }, luck, &payloads);
            }
            Packet::Snapshot { from, term, machine, .. } => {
                // One at a time: a second one that arrives before the first is handed over takes its place.
                self.hosts[at].received = Some(machine);
                self.judge.on_snapshot(machine);
                self.step(at, Input::SnapshotReceived { from, term, meta: machine.applied }, luck, &[]);
            }
        }
    }

    /// Makes `count` records durable and reports them.
    pub fn sync(&mut self, at: usize, count: usize, luck: u64) {
        for _ in 0..count.min(self.hosts[at].writing.len()) {
            self.hosts[at].sync_one();
        }
        self.report(at, luck);
    }

    /// Tells the machine what is durable, and lets go what waited for it.
    pub fn report(&mut self, at: usize, luck: u64) {
        let Some((ticket, ready)) = self.hosts[at].report() else { return };
        for envelope in ready {
            check_promise(&envelope, &self.hosts[at]);
            let packet = self.hosts[at].fill(envelope);
            self.packets.extend(packet);
        }
        self.step(at, Input::Persisted(ticket), luck, &[]);
    }

    pub fn apply(&mut self, at: usize, count: usize, luck: u64) {
        let mut applied = None;
        for _ in 0..count {
            let Some((entry, payload)) = self.hosts[at].apply_one() else { break };
            self.judge.on_applied(entry, payload, self.hosts[at].machine);
            applied = Some(entry.index);
        }
        if let Some(index) = applied {
            self.step(at, Input::Applied(index), luck, &[]);
        }
    }

    pub fn crash(&mut self, at: usize, keep: usize) {
        self.hosts[at].crash(keep);
        self.judge.on_crash(at);
    }

    pub fn restart(&mut self, at: usize, luck: u64) {
        self.hosts[at].restart(luck);
        let node = self.hosts[at].node.as_ref().expect("it was just started");
        node.invariants();
        self.judge.on_restart(at, node);
    }

    /// The state machine reaches the disk.
    pub fn checkpoint(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        // Not while a snapshot that is newer is already there.
        if host.machine.applied.index > host.disk.machine.applied.index {
            host.disk.machine = host.machine;
        }
    }

    /// Drops the log up to `index`, as far as the state machine is on the disk and nothing newer is on its way there.
    pub fn compact(&mut self, at: usize, index: LogIndex, luck: u64) {
        let host = &mut self.hosts[at];
        let index = index.min(host.disk.machine.applied.index).min(host.machine.applied.index);
        if index <= host.log.base.index || index <= host.disk.log.base.index {
            return;
        }
        let term = host.log.term_at(index).expect("what is applied is in the log");
        let base = tenet_raft::SnapshotMeta { index, term };
        host.log.compact(base);
        host.disk.log.compact(base);
        self.step(at, Input::Compacted(base), luck, &[]);
    }

    /// One step of one machine, its effects, and all checks.
    fn step(&mut self, at: usize, input: Input, luck: u64, payloads: &[Payload]) {
        let Some(node) = self.hosts[at].node.take() else { return };
        let before = node.status();
        let first = match &input {
            Input::Receive { message: Message::Append { entries: Some(range), .. }, .. } => Some(range.first),
            _ => None,
        };
        let (node, effects) = node.step(input, luck);
        node.invariants();
        let after = node.status();

        let payload_of = |index: LogIndex| match first {
            Some(first) => payloads[(index.0 - first.0) as usize],
            None => appended(&effects, index).unwrap_or(NOOP | after.term.0),
        };
        self.hosts[at].take(&effects, payload_of);
        self.hosts[at].node = Some(node);
        self.judge.look(at, &before, &after, &effects, &self.hosts);

        let me = self.hosts[at].me();
        if after.leading && !before.leading {
            self.event(|| format!("{me} leads in term {}", after.term.0));
        }
        if before.leading && !after.leading {
            self.event(|| format!("{me} steps down"));
        }
        for reply in effects.reply {
            self.event(|| format!("{me} answers: {}", draw::reply(&reply)));
        }
        for envelope in effects.send_now {
            let packet = self.hosts[at].fill(envelope).expect("what is sent now is in the log");
            self.packets.push(packet);
        }
        for to in effects.send_snapshot {
            self.event(|| format!("{me} offers {to} a snapshot"));
            let machine = self.hosts[at].machine;
            self.packets.push(Packet::Snapshot { from: me, to, term: after.term, machine });
        }
    }

    /// Brings everything that is on its way where it goes, in order, and lets disks and state machines finish (but not the
    /// slow and busy ones), until nothing moves. No time passes.
    pub fn settle(&mut self, mut luck: impl FnMut(usize) -> u64) {
        for _ in 0..SETTLE_ROUNDS_MAX {
            let mut moved = false;
            for at in 0..self.hosts.len() {
                if self.hosts[at].node.is_none() {
                    continue;
                }
                if !self.slow.contains(&at) && (!self.hosts[at].writing.is_empty() || self.hosts[at].written.is_some())
                {
                    moved = true;
                    self.sync(at, usize::MAX, luck(at));
                }
                if !self.busy.contains(&at) && !self.hosts[at].applying.is_empty() {
                    moved = true;
                    self.apply(at, usize::MAX, luck(at));
                }
            }
            for packet in std::mem::take(&mut self.packets) {
                moved = true;
                let at = Cluster::position(packet.to());
                self.deliver(packet, luck(at));
            }
            if !moved {
                return;
            }
        }
        panic!("it does not settle; on their way: {}", self.packets.iter().map(draw::packet).collect::<String>());
    }

    fn event(&mut self, draw: impl FnOnce() -> String) {
        if let Some(events) = &mut self.events {
            events.push(draw());
        }
    }

    /// The one that leads in the highest term.
    pub fn leader(&self) -> Option<usize> {
        let leading = |at: &usize| self.node(*at).is_some_and(|node| node.status().leading);
        let term = |at: &usize| self.node(*at).map(|node| node.status().term);
        (0..self.hosts.len()).filter(leading).max_by_key(term)
    }

    pub fn machines(&self) -> impl Iterator<Item = Machine> {
        self.hosts.iter().map(|host| host.machine)
    }
}

fn appended(effects: &Effects, at: LogIndex) -> Option<Payload> {
    effects.reply.iter().find_map(|reply| match reply {
        Reply::Appended { proposal, index } if *index == at => Some(proposal.0),
        _ => None,
    })
}
