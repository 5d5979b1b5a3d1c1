//! Three nodes of one shard over fake disks: commits under crashes lose nothing, reads are current, a follower that is far
//! behind gets a snapshot. Seeds are few here; `sim` runs the many.
//!
//! Seen to fail: messages that promise sent before their ticket is durable (the power cut finds it; crashes of one node at a
//! quiet moment do not).

mod seam;
mod transport;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use seam::{Boot, World, seam};
use tenet_seam::fake::FakeDisk;
use tenet_shard::*;
use tenet_store::{Meta, PoolOptions, StorePool};
use tenet_types::*;
use tenet_wal::{Wal, WalOptions};
use tokio::sync::oneshot;

const TARGET: Target = Target { tenant: TenantId(1), shard: ShardId(2), epoch: RangeEpoch(1), catalog: None };

struct Hashes(Mutex<BTreeMap<(ShardId, LogIndex), [u8; 32]>>);

impl Observer for Hashes {
    fn applied(&self, shard: ShardId, replica: ReplicaId, index: LogIndex, hash: [u8; 32]) {
        let mut seen = self.0.lock().unwrap();
        let known = *seen.entry((shard, index)).or_insert(hash);
        assert_eq!(known, hash, "{shard} {replica} differs at {index}");
    }
}

struct Machine {
    disk: FakeDisk,
    running: Option<Running>,
}

struct Running {
    boot: Arc<Boot>,
    transport: Arc<Transport>,
    shards: Arc<Shards>,
    wal: Arc<Wal>,
    outgoing: Arc<Outgoing>,
}

struct Cluster {
    world: Arc<World>,
    machines: Vec<Machine>,
    hashes: Arc<Hashes>,
    limits: Limits,
    wal: WalOptions,
}

impl Cluster {
    fn new(seed: u64, limits: Limits, wal: WalOptions) -> Cluster {
        let world = World::new(seed);
        let machines = (0..3).map(|n| Machine { disk: FakeDisk::new(seed * 10 + n), running: None }).collect();
        let hashes = Arc::new(Hashes(Mutex::default()));
        let mut cluster = Cluster { world, machines, hashes, limits, wal };
        for n in 0..3 {
            cluster.start(n);
        }
        cluster
    }

    fn descriptor(&self) -> Descriptor {
        let replicas = (1..=3).map(|n| (NodeId(n), ReplicaId(n + 10))).collect();
        Descriptor { tenant: TARGET.tenant, shard: TARGET.shard, epoch: TARGET.epoch, replicas }
    }

    fn start(&mut self, n: usize) {
        let disk = self.machines[n].disk.handle();
        let boot = Arc::new(Boot {
            world: self.world.clone(),
            alive: Arc::new(AtomicBool::new(true)),
            halted: Arc::new(Mutex::new(None)),
            hanging: Arc::default(),
        });
        let seam = seam(&boot, disk.clone());
        let wal = Arc::new(Wal::open(disk.clone(), "wal", self.wal).unwrap());
        let pool = Arc::new(StorePool::new(disk, PoolOptions::default()));
        let transport = Transport::new(seam.clone());
        let outgoing = Arc::new(Outgoing::default());
        let network = PeerNetwork {
            seam: seam.clone(),
            transport: transport.clone(),
            pool: pool.clone(),
            outgoing: outgoing.clone(),
        };
        let node = NodeId(n as u64 + 1);
        let host = start_host(
            &seam,
            HostOptions {
                node,
                limits: self.limits.clone(),
                storage: Arc::new(DiskStorage { wal: wal.clone(), pool: pool.clone() }),
                network: Arc::new(network),
                observer: Some(self.hashes.clone()),
            },
        );
        let shards = Shards::new(&seam, node, host.clone(), pool, transport.clone(), &small());
        transport.set_handler(Arc::new(PeerDesk(shards.clone())));
        self.machines[n].running = Some(Running { boot, transport, shards, wal, outgoing });
        self.open(n, self.descriptor());
        for other in 0..3 {
            if other != n && self.machines[other].running.is_some() {
                self.link(n, other);
            }
        }
    }

    fn open(&self, n: usize, descriptor: Descriptor) {
        let (shards, alive) = self.client(n);
        shards.learn(descriptor.clone());
        let opening = async move {
            let (done, opened) = oneshot::channel();
            shards.host().give(HostInput::Open { descriptor, done }).await;
            opened.await.unwrap();
        };
        self.world.spawn(&alive, Box::pin(opening));
    }

    /// Where a shard's log begins on a machine, and what its store has applied.
    fn log_of(&self, n: usize, shard: ShardId) -> (LogIndex, LogIndex) {
        let running = self.machines[n].running.as_ref().unwrap();
        let base = running.wal.group(shard).unwrap().base.0;
        (base, running.shards.host().views.get(shard).unwrap().meta.applied)
    }

    fn link(&self, a: usize, b: usize) {
        let (near, far) = tokio::io::duplex(64 << 10);
        for (n, peer, stream) in [(a, b, near), (b, a, far)] {
            let running = self.machines[n].running.as_ref().unwrap();
            let transport = running.transport.clone();
            let peer = NodeId(peer as u64 + 1);
            let work = async move { transport.run_link(peer, Box::new(stream), Unframer::default()).await };
            self.world.spawn(&running.boot.alive, Box::pin(work));
        }
    }

    /// Power is lost: tasks never run again, unsynced bytes are kept, lost or torn.
    fn crash(&mut self, n: usize) {
        let running = self.machines[n].running.take().unwrap();
        running.boot.alive.store(false, Ordering::SeqCst);
        self.machines[n].disk.crash();
        assert_eq!(*running.boot.halted.lock().unwrap(), None);
    }

    fn run(&self, ms: u64) {
        self.world.run_until(Duration::from_millis(ms), || false);
    }

    fn client(&self, n: usize) -> (Arc<Shards>, Arc<AtomicBool>) {
        let running = self.machines[n].running.as_ref().unwrap();
        (running.shards.clone(), running.boot.alive.clone())
    }

    fn view(&self, n: usize) -> ReplicaView {
        self.client(n).0.host().views.get(TARGET.shard).expect("its replica is open")
    }

    /// Its disk answers nothing any more, and fails nothing; or it does again.
    fn hang(&self, n: usize, hanging: bool) {
        self.machines[n].running.as_ref().unwrap().boot.hanging.store(hanging, Ordering::SeqCst);
    }

    fn halted(&self, n: usize) -> Option<String> {
        self.machines[n].running.as_ref().unwrap().boot.halted.lock().unwrap().clone()
    }

    /// Begins a request on a node; its answer will be in the slot.
    fn begin<T: Send + 'static>(
        &self,
        n: usize,
        request: impl FnOnce(Arc<Shards>) -> BoxFuture<'static, T>,
    ) -> Arc<Mutex<Option<T>>> {
        let (shards, alive) = self.client(n);
        let result = Arc::new(Mutex::new(None));
        let (slot, future) = (result.clone(), request(shards));
        self.world.spawn(&alive, Box::pin(async move { *slot.lock().unwrap() = Some(future.await) }));
        result
    }

    /// Runs one request on a node to its end.
    fn ask<T: Send + 'static>(
        &self,
        n: usize,
        request: impl FnOnce(Arc<Shards>) -> BoxFuture<'static, T>,
    ) -> Option<T> {
        let result = self.begin(n, request);
        let done = result.clone();
        self.world.run_until(Duration::from_secs(30), move || done.lock().unwrap().is_some());
        result.lock().unwrap().take()
    }

    fn put(&self, n: usize, key: &[u8], value: &[u8]) -> Result<Timestamp, ShardError> {
        let commit = write(key, value);
        self.ask(n, |shards| Box::pin(async move { shards.commit(TARGET, commit).await })).expect("an answer in 30 s")
    }

    fn get(&self, n: usize, key: &[u8]) -> Result<Option<Vec<u8>>, ShardError> {
        let keys = vec![Key(key.to_vec())];
        let reply = self.ask(n, |shards| Box::pin(async move { shards.get(TARGET, ReadAt::Latest, keys).await }));
        reply.expect("an answer in 30 s").map(|reply| reply.values[0].clone())
    }
}

#[test]
fn an_acknowledged_commit_survives_a_power_cut_of_the_whole_cluster_the_moment_it_is_acknowledged() {
    for seed in 0..40 {
        let wal = WalOptions { segment_bytes: 4096, ..WalOptions::default() };
        let mut cluster = Cluster::new(500 + seed, small(), wal);
        let mut acknowledged = Vec::new();
        for round in 0..6u64 {
            let n = (cluster.world.draw() % 3) as usize;
            if cluster.put(n, &key(round), b"kept").is_ok() {
                acknowledged.push(round);
            }
            for n in 0..3 {
                cluster.crash(n);
            }
            for n in 0..3 {
                cluster.start(n);
            }
        }
        assert!(!acknowledged.is_empty(), "seed {seed}");
        for k in acknowledged {
            let found = cluster.get(0, &key(k)).unwrap();
            assert_eq!(found.as_deref(), Some(&b"kept"[..]), "seed {seed}: key {k} was acknowledged");
        }
    }
}

fn small() -> Limits {
    Limits {
        checkpoint_bytes: 600,
        log_tail_entries: 4,
        append_entries_max: 3,
        cache_bytes_max: 200,
        window_sets_max: 8,
        snapshot_retry_ticks: 10,
        snapshot_piece_bytes: 100,
        ..Limits::default()
    }
}

/// A commit that reads nothing, and so conflicts with nothing.
fn write(key: &[u8], value: &[u8]) -> CommitRequest {
    static SEQUENCE: AtomicU64 = AtomicU64::new(1);
    CommitRequest {
        request: RequestId { session: 7, sequence: SEQUENCE.fetch_add(1, Ordering::SeqCst) },
        snapshot: Timestamp::ZERO,
        reads: ReadSet::default(),
        catalog: CatalogVersion(0),
        writes: vec![Write { key: Key(key.to_vec()), value: Some(value.to_vec()) }],
    }
}

fn key(n: u64) -> Vec<u8> {
    // A table, an index, and a number of fixed width: no key is a prefix of another (Y1).
    KeyBuilder::new(TableId(100), IndexId(1)).push(&Value::Int8(n as i64)).build().0
}

#[test]
fn a_commit_on_any_node_is_read_on_every_node() {
    let cluster = Cluster::new(1, Limits::default(), WalOptions::default());
    for n in 0..3 {
        cluster.put(n, &key(n as u64), format!("from {n}").as_bytes()).unwrap();
    }
    for n in 0..3 {
        for k in 0..3 {
            assert_eq!(cluster.get(n, &key(k)).unwrap(), Some(format!("from {k}").into_bytes()));
        }
    }
}

#[test]
fn many_large_rows_are_read_by_key_in_several_pieces() {
    let cluster = Cluster::new(3, Limits::default(), WalOptions::default());
    let value = |n: u64| vec![n as u8; 300 << 10];
    for n in 0..6 {
        cluster.put(0, &key(n), &value(n)).unwrap();
    }
    let keys: Vec<Key> = (0..8).map(|n| Key(key(n))).collect();
    for n in 0..3 {
        let keys = keys.clone();
        let read = cluster.ask(n, |shards| Box::pin(async move { shards.get(TARGET, ReadAt::Latest, keys).await }));
        let values = read.unwrap().unwrap().values;
        assert_eq!(values.len(), 8);
        assert!((0..6).all(|n| values[n as usize] == Some(value(n))) && values[6..] == [None, None]);
    }
    assert!(marks().contains_key("shard: a read by keys in several pieces"));
}

#[test]
fn a_replica_that_differs_from_its_leader_ends_its_node_when_it_gets_there() {
    let cluster = Cluster::new(4, Limits::default(), WalOptions::default());
    let last = cluster.put(0, &key(1), b"a").map(|_| cluster.client(1).0.host().views.get(TARGET.shard).unwrap().last);
    let index = last.unwrap().next().next();
    let lie = HostInput::StateHash { from: NodeId(1), shard: TARGET.shard, index, hash: [9; 32] };
    cluster.client(1).0.host().offer(lie);
    cluster.run(100);
    let halted = || cluster.machines[1].running.as_ref().unwrap().boot.halted.lock().unwrap().clone();
    assert_eq!(halted(), None, "nothing to be compared yet");
    for n in 2..6 {
        cluster.put(0, &key(n), b"b").unwrap();
    }
    cluster.run(500);
    assert!(halted().is_some_and(|why| why.contains("differs from its leader")));
}

#[test]
fn a_leader_whose_disk_hangs_makes_room_and_a_short_stall_deposes_nobody() {
    let cluster = Cluster::new(5, Limits::default(), WalOptions::default());
    cluster.put(0, &key(1), b"before").unwrap();
    let leader = (0..3).find(|n| cluster.view(*n).leading).unwrap();
    let other = (leader + 1) % 3;
    let term = cluster.view(leader).term;

    let limits = Limits::default();
    let timeout_ms = u64::from(limits.election_ticks) * limits.tick.as_millis() as u64;
    cluster.hang(leader, true);
    let commit = write(&key(2), b"in a stall");
    let slow = cluster.begin(other, |shards| Box::pin(async move { shards.commit(TARGET, commit).await }));
    cluster.run(timeout_ms);
    assert_eq!(*slow.lock().unwrap(), None, "it waits for the leader's disk");
    cluster.hang(leader, false);
    cluster.run(timeout_ms);
    assert!(slow.lock().unwrap().take().is_some_and(|outcome| outcome.is_ok()));
    assert!(cluster.view(leader).leading && cluster.view(leader).term == term);

    // Something waits for the disk; whoever asked does not know its outcome.
    cluster.hang(leader, true);
    let lost = cluster.put(other, &key(3), b"perhaps");
    assert_eq!(lost, Err(ShardError::Unknown));
    cluster.put(other, &key(4), b"by another leader").unwrap();
    assert!(!cluster.view(leader).leading);
    // Far longer than any timeout: it does not disturb those who can.
    let term = cluster.view(other).term;
    cluster.run(20 * timeout_ms);
    cluster.put(other, &key(5), b"still").unwrap();
    assert_eq!(cluster.view(other).term, term);

    cluster.hang(leader, false);
    cluster.run(3000);
    assert_eq!(cluster.view(leader).meta.applied, cluster.view(other).meta.applied);
    for (k, value) in [(1, "before"), (2, "in a stall"), (4, "by another leader"), (5, "still")] {
        assert_eq!(cluster.get(leader, &key(k)).unwrap().as_deref(), Some(value.as_bytes()));
    }
    assert!((0..3).all(|n| cluster.halted(n).is_none()));
}

#[test]
fn a_commit_that_a_leader_has_no_room_for_is_asked_again_and_reaches_the_next_leader() {
    const COMMITS: u64 = 1100;
    let cluster = Cluster::new(7, Limits::default(), WalOptions::default());
    cluster.put(0, &key(0), b"before").unwrap();
    let leader = (0..3).find(|n| cluster.view(*n).leading).unwrap();
    let other = (leader + 1) % 3;
    cluster.hang(leader, true);
    let commit = |n| {
        let commit = write(&key(n), b"crowd");
        cluster.begin(other, |shards| Box::pin(async move { shards.commit(TARGET, commit).await }))
    };
    let outcomes: Vec<_> = (0..COMMITS).map(commit).collect();
    cluster.run(12_000);
    let outcomes: Vec<_> = outcomes.iter().map(|slot| slot.lock().unwrap().take().expect("an answer")).collect();
    assert!(marks().contains_key("gateway: asked again of a node that has too many calls"));
    let done = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let unknown = outcomes.iter().filter(|outcome| **outcome == Err(ShardError::Unknown)).count();
    assert!(done > 0 && done + unknown == outcomes.len(), "{done} done, {unknown} unknown");
}

#[test]
fn a_leader_keeps_the_log_that_comes_after_a_snapshot_on_its_way() {
    let mut cluster = Cluster::new(11, small(), WalOptions { segment_bytes: 4096, ..WalOptions::default() });
    cluster.put(0, &key(0), b"before").unwrap();
    let leader = (0..3).find(|n| cluster.view(*n).leading).unwrap();
    let follower = (leader + 1) % 3;
    cluster.crash(follower);
    let put = |cluster: &Cluster, n: u64| {
        cluster.put(leader, &key(n), &[n as u8; 50]).unwrap();
        cluster.run(60);
    };
    (1..40).for_each(|n| put(&cluster, n));
    assert!(cluster.log_of(leader, TARGET.shard).0 > LogIndex(20), "it needs a snapshot");

    cluster.start(follower);
    let outgoing = cluster.machines[leader].running.as_ref().unwrap().outgoing.clone();
    let floor = || outgoing.floor(TARGET.shard).filter(|floor| *floor > LogIndex::ZERO);
    cluster.world.run_until(Duration::from_secs(20), || floor().is_some());
    let index = floor().expect("a snapshot is on its way");
    // Its receiver is slow; the leader goes on, and checkpoints.
    cluster.hang(follower, true);
    (40..100).for_each(|n| put(&cluster, n));
    assert_eq!(floor(), Some(index), "it is still on its way");
    let (base, applied) = cluster.log_of(leader, TARGET.shard);
    assert!(
        base <= index && applied > LogIndex(index.0 + 50),
        "log from {base}, snapshot to {index}, applied {applied}"
    );

    cluster.hang(follower, false);
    cluster.run(5000);
    assert_eq!(cluster.view(follower).meta.applied, cluster.view(leader).meta.applied);
    (100..110).for_each(|n| put(&cluster, n));
    assert!(cluster.log_of(leader, TARGET.shard).0 > index, "it is over");
    assert!((0..3).all(|n| cluster.halted(n).is_none()));
}

#[test]
fn a_snapshot_that_is_whole_and_wrong_is_refused_and_its_receiver_lives_on() {
    let cluster = Cluster::new(8, Limits::default(), WalOptions::default());
    cluster.put(0, &key(0), b"before").unwrap();
    let n = (0..3).find(|n| !cluster.view(*n).leading).unwrap();

    // A store with one row, which its meta knows nothing of; or with the meta of another shard.
    let shard = TARGET.shard;
    let pool = StorePool::new(FakeDisk::new(1).handle(), PoolOptions::default());
    let store = pool.create(shard).unwrap();
    let writes = vec![Write { key: Key(key(9)), value: Some(b"row".to_vec()) }];
    let request = RequestId { session: 1, sequence: 1 };
    let entry = Entry::Commit { request, catalog: CatalogVersion(0), wall_ms: 1, writes };
    store.apply(&[(LogIndex(1), Term(1), entry.encode().into())]).unwrap();
    let chunk = store.export(&store.meta(), None, 1 << 20).unwrap();
    assert_eq!(chunk.resume, None);
    let far = Meta { applied: LogIndex(1000), applied_term: Term(99), ..store.meta() };
    for meta in [Meta { timestamp: Timestamp::ZERO, ..far.clone() }, Meta { shard: ShardId(77), ..far }] {
        let piece = SnapshotPiece {
            shard,
            from: ReplicaId((n as u64 + 1) % 3 + 11),
            to: ReplicaId(n as u64 + 11),
            term: Term(99),
            meta: meta.encode(),
            sequence: 0,
            bytes: chunk.bytes.clone(),
            last: true,
        };
        let answer = cluster.ask(n, |shards| PeerDesk(shards).on_call(NodeId(2), Call::Snapshot(piece)));
        assert_eq!(answer, Some(Answer::Snapshot { go_on: false }));
        cluster.run(100);
        assert_eq!(cluster.halted(n), None);
    }
    cluster.put(n, &key(1), b"after").unwrap();
    cluster.run(200);
    assert_eq!(cluster.get(n, &key(1)).unwrap().as_deref(), Some(&b"after"[..]));
}

#[test]
fn an_idle_leader_keeps_no_log_unless_a_follower_is_behind() {
    let limits = Limits { checkpoint_ticks: 20, ..Limits::default() };
    let mut cluster = Cluster::new(9, limits, WalOptions::default());
    for n in 0..5 {
        cluster.put(0, &key(n), b"a").unwrap();
    }
    let leader = (0..3).find(|n| cluster.view(*n).leading).unwrap();
    cluster.run(3000);
    let (base, applied) = cluster.log_of(leader, TARGET.shard);
    assert_eq!(base, applied);

    cluster.crash((leader + 1) % 3);
    for n in 0..5 {
        cluster.put(leader, &key(n), b"b").unwrap();
    }
    cluster.run(3000);
    let (base_then, applied_then) = cluster.log_of(leader, TARGET.shard);
    assert!(applied_then > applied && base_then == base, "it keeps what one that is behind needs");

    cluster.start((leader + 1) % 3);
    cluster.run(1000);
    cluster.put(leader, &key(9), b"c").unwrap();
    cluster.run(3000);
    let (base, applied) = cluster.log_of(leader, TARGET.shard);
    assert_eq!(base, applied);
    assert!((0..3).all(|n| cluster.halted(n).is_none()));
}

#[test]
fn many_idle_shards_let_go_of_old_segments_one_right_after_the_other() {
    const SHARDS: u64 = 240;
    let limits = Limits { checkpoint_ticks: 40, ..Limits::default() };
    let wal = WalOptions { segment_bytes: 16 << 10, ..WalOptions::default() };
    let cluster = Cluster::new(10, limits, wal);
    let shards = || (100..100 + SHARDS).map(ShardId);
    for shard in shards() {
        (0..3).for_each(|n| cluster.open(n, Descriptor { shard, ..cluster.descriptor() }));
    }
    cluster.run(5000);
    for shard in shards() {
        let commit = write(&key(0), &[3; 500]);
        let target = Target { shard, ..TARGET };
        cluster.ask(0, |shards| Box::pin(async move { shards.commit(target, commit).await })).unwrap().unwrap();
    }
    // They are idle from now on, with entries in several segments, and one other is busy. At one look in 64 ticks it takes minutes.
    for n in 0..300 {
        cluster.put(0, &key(n), &[7; 2000]).unwrap();
    }
    cluster.run(6_000);
    // What nobody holds on to goes with the next batch.
    cluster.put(0, &key(0), b"and on").unwrap();
    cluster.run(100);
    for n in 0..3 {
        let segments = cluster.machines[n].running.as_ref().unwrap().wal.stats().segments;
        assert!(segments <= 6, "{segments} segments on {n}");
        assert_eq!(cluster.halted(n), None);
    }
    for shard in shards() {
        assert!((0..3).all(|n| cluster.log_of(n, shard).1 >= LogIndex(2)));
    }
}

#[test]
fn a_host_that_is_stopped_answers_everybody_and_touches_its_disk_no_more() {
    for seed in 20..30 {
        let limits = Limits { checkpoint_bytes: 1, ..Limits::default() };
        let mut cluster = Cluster::new(seed, limits, WalOptions::default());
        for n in 0..20 {
            cluster.put(0, &key(n), b"before").unwrap();
        }
        let leader = (0..3).find(|n| cluster.view(*n).leading).unwrap();
        let other = (leader + 1) % 3;
        let commit = |n, gateway| {
            let commit = write(&key(n), b"at the end");
            (n, cluster.begin(gateway, |shards| Box::pin(async move { shards.commit(TARGET, commit).await })))
        };
        let outcomes: Vec<_> = (100..140).map(|n| commit(n, if n % 2 == 0 { leader } else { other })).collect();
        cluster.run(cluster.world.draw() % 6);
        // A batch and a checkpoint are on their way.
        cluster.hang(leader, true);
        cluster.run(60);
        let disk = cluster.machines[leader].disk.clone();
        let stop = cluster.begin(leader, |shards| {
            Box::pin(async move {
                let (done, stopped) = oneshot::channel();
                shards.host().give(HostInput::Stop { done }).await;
                stopped.await.map(|()| disk.operations())
            })
        });
        cluster.run(100);
        assert_eq!(*stop.lock().unwrap(), None, "seed {seed}");
        cluster.hang(leader, false);
        cluster.run(100);
        let quiet = stop.lock().unwrap().take().expect("it stops").expect("it says so");

        // The others go on, and what they say arrives where nobody is any more.
        cluster.run(5000);
        cluster.put(other, &key(200), b"by another leader").unwrap();
        assert_eq!(cluster.machines[leader].disk.operations(), quiet, "seed {seed}");
        assert!(cluster.client(leader).0.host().views.all().is_empty());
        let outcomes: BTreeMap<u64, Result<Timestamp, ShardError>> =
            outcomes.into_iter().map(|(n, slot)| (n, slot.lock().unwrap().take().expect("an answer"))).collect();

        cluster.crash(leader);
        cluster.start(leader);
        cluster.run(3000);
        for (n, outcome) in outcomes {
            match outcome {
                Ok(_) => assert_eq!(cluster.get(leader, &key(n)).unwrap().as_deref(), Some(&b"at the end"[..])),
                Err(ShardError::Unknown) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        assert!((0..3).all(|n| cluster.halted(n).is_none()));
    }
}

#[test]
fn a_request_for_another_range_is_refused_whatever_it_asks_and_whomever() {
    let cluster = Cluster::new(12, Limits::default(), WalOptions::default());
    let at = ReadAt::Snapshot(cluster.put(0, &key(0), b"row").unwrap());
    cluster.run(500);
    for target in [Target { tenant: TenantId(9), ..TARGET }, Target { epoch: RangeEpoch(9), ..TARGET }] {
        for n in 0..3 {
            for at in [ReadAt::Latest, at] {
                let keys = vec![Key(key(0))];
                let got = cluster.ask(n, |shards| Box::pin(async move { shards.get(target, at, keys).await }));
                assert_eq!(got, Some(Err(ShardError::Gone)));
            }
            let commit = write(&key(0), b"elsewhere");
            let done = cluster.ask(n, |shards| Box::pin(async move { shards.commit(target, commit).await }));
            assert_eq!(done, Some(Err(ShardError::Gone)));
        }
    }
    assert_eq!(cluster.get(1, &key(0)).unwrap().as_deref(), Some(&b"row"[..]));
}

/// Replicas are erased a little later than the map says so, and a route that was looked up before may be learned after.
#[test]
fn a_dropped_shard_is_gone_for_everybody_at_once_and_for_good() {
    let cluster = Cluster::new(1, Limits::default(), WalOptions::default());
    cluster.put(0, &key(1), b"a").unwrap();
    // Nobody else knows: they are told by those whom they ask.
    (0..3).filter(|n| cluster.view(*n).leading).for_each(|leader| cluster.client(leader).0.forget(TARGET.shard));
    for n in 0..3 {
        assert_eq!(cluster.get(n, &key(1)), Err(ShardError::Gone), "n{}", n + 1);
        assert_eq!(cluster.put(n, &key(1), b"b"), Err(ShardError::Gone), "n{}", n + 1);
    }
    for n in 0..3 {
        let (shards, _) = cluster.client(n);
        shards.forget(TARGET.shard);
        shards.learn(cluster.descriptor());
        assert_eq!(cluster.get(n, &key(1)), Err(ShardError::Gone), "n{}", n + 1);
    }
}

#[test]
fn commits_conflict_with_what_was_written_after_their_snapshot() {
    let cluster = Cluster::new(2, Limits::default(), WalOptions::default());
    let first = cluster.put(0, &key(1), b"a").unwrap();
    let second = cluster.put(0, &key(1), b"b").unwrap();
    assert!(second > first);
    let commit = |snapshot: Timestamp, reads: ReadSet| {
        let writes = vec![Write { key: Key(key(2)), value: Some(b"c".to_vec()) }];
        let request = RequestId { session: 9, sequence: snapshot.0 };
        let commit = CommitRequest { request, snapshot, reads, catalog: CatalogVersion(0), writes };
        cluster.ask(1, |shards| Box::pin(async move { shards.commit(TARGET, commit).await })).unwrap()
    };
    let reads = |keys: Vec<Key>, spans: Vec<Span>| ReadSet { keys, spans };
    let all = Span { start: Key(key(0)), end: Key(key(9)) };
    assert_eq!(commit(first, reads(vec![Key(key(1))], vec![])), Err(ShardError::Conflict));
    assert_eq!(commit(first, reads(vec![], vec![all.clone()])), Err(ShardError::Conflict));
    assert!(commit(second, reads(vec![Key(key(1))], vec![])).is_ok());
    assert_eq!(
        commit(second, reads(vec![], vec![all])),
        Err(ShardError::Conflict),
        "the last commit wrote into the span"
    );
}

#[test]
fn nothing_acknowledged_is_lost_by_crashes_and_followers_far_behind_get_snapshots() {
    for seed in 0..20 {
        let mut cluster =
            Cluster::new(100 + seed, small(), WalOptions { segment_bytes: 4096, ..WalOptions::default() });
        let mut acknowledged = BTreeMap::new();
        for round in 0..12u64 {
            let down = (cluster.world.draw() % 3) as usize;
            cluster.crash(down);
            let up = (down + 1) % 3;
            for n in 0..6 {
                let (k, value) = (round * 6 + n, format!("{round} {n}"));
                match cluster.put(up, &key(k), value.as_bytes()) {
                    Ok(_) => {
                        acknowledged.insert(k, value);
                    }
                    Err(ShardError::Unknown | ShardError::Unavailable(_)) => {}
                    Err(other) => panic!("seed {seed}: {other}"),
                }
            }
            cluster.start(down);
            cluster.run(cluster.world.draw() % 3000);
        }
        assert!(acknowledged.len() > 36, "seed {seed}: only {} of 72 were acknowledged", acknowledged.len());
        cluster.run(5000);
        for (k, value) in &acknowledged {
            let n = (*k % 3) as usize;
            assert_eq!(
                cluster.get(n, &key(*k)).unwrap().as_deref(),
                Some(value.as_bytes()),
                "seed {seed} key {k} on {n}"
            );
        }
        for machine in &cluster.machines {
            let running = machine.running.as_ref().expect("all were started");
            assert_eq!(*running.boot.halted.lock().unwrap(), None, "seed {seed}");
        }
        let applied: Vec<LogIndex> =
            (0..3).map(|n| cluster.client(n).0.host().views.get(TARGET.shard).unwrap().meta.applied).collect();
        assert!(applied.iter().all(|index| *index == applied[0]), "seed {seed}: {applied:?}");
    }
    let marks = marks();
    let wanted = [
        "raft: snapshot installed",
        "raft: snapshot offered",
        "snapshot: more than one piece",
        "host: state hash compared",
        "shard: payload dropped before it was applied",
    ];
    for mark in wanted {
        assert!(marks.contains_key(mark), "never reached: {mark} in {marks:?}");
    }
}
