//! Two ends of one link, and calls that last.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tenet_seam::fake::FakeDisk;
use tenet_shard::*;
use tenet_types::*;
use tokio::sync::oneshot;

use crate::TARGET;
use crate::seam::{Boot, World, seam};

/// Serves no call to its end, and counts what it is told.
#[derive(Default)]
struct Stuck {
    /// One per call, which lasts as long.
    calls: Mutex<Vec<oneshot::Sender<Answer>>>,
    hashes: AtomicUsize,
}

impl PeerHandler for Stuck {
    fn on_raft(&self, _: NodeId, _: RaftMail) {}

    fn on_state_hash(&self, _: NodeId, _: ShardId, _: LogIndex, _: [u8; 32]) {
        self.hashes.fetch_add(1, Ordering::SeqCst);
    }

    fn on_call(&self, _: NodeId, _: Call) -> BoxFuture<'static, Answer> {
        let (end, ended) = oneshot::channel();
        self.calls.lock().unwrap().push(end);
        Box::pin(async move { ended.await.expect("kept as long as the handler") })
    }
}

#[test]
fn calls_beyond_what_a_node_takes_are_refused_and_what_stands_behind_them_arrives() {
    const CALLS: usize = 1100;
    let world = World::new(6);
    let disk = FakeDisk::new(6);
    let alive = Arc::new(AtomicBool::new(true));
    let boot =
        Arc::new(Boot { world: world.clone(), alive: alive.clone(), halted: Arc::default(), hanging: Arc::default() });
    let (near, far) = tokio::io::duplex(64 << 10);
    let handlers = [Arc::new(Stuck::default()), Arc::new(Stuck::default())];
    let mut ends = Vec::new();
    for (n, stream) in [near, far].into_iter().enumerate() {
        let transport = Transport::new(seam(&boot, disk.handle()));
        transport.set_handler(handlers[n].clone());
        ends.push(transport.clone());
        let peer = NodeId(2 - n as u64);
        world.spawn(
            &alive,
            Box::pin(async move { transport.run_link(peer, Box::new(stream), Unframer::default()).await }),
        );
    }
    world.run_until(Duration::from_millis(1), || false);

    let answers = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..CALLS {
        let (caller, answers) = (ends[0].clone(), answers.clone());
        let call = Call::Shard(TARGET, Request::Get { at: ReadAt::Latest, keys: vec![] });
        world.spawn(
            &alive,
            Box::pin(async move {
                let answer = caller.call(NodeId(2), call).await;
                answers.lock().unwrap().push(answer);
            }),
        );
    }
    world.run_until(Duration::from_millis(100), || false);
    // The acks that those in service wait for may stand here.
    ends[0].send(NodeId(2), PeerMessage::StateHash { shard: ShardId(1), index: LogIndex(1), hash: [0; 32] });
    world.run_until(Duration::from_millis(100), || false);
    assert_eq!(handlers[1].hashes.load(Ordering::SeqCst), 1);
    let served = handlers[1].calls.lock().unwrap().len();
    assert!((1..CALLS).contains(&served), "{served} calls in service");
    assert_eq!(*answers.lock().unwrap(), vec![Err(CallError::Refused); CALLS - served]);

    // Who was served makes room for who asks again.
    let end = handlers[1].calls.lock().unwrap().pop().unwrap();
    end.send(Answer::Snapshot { go_on: true }).unwrap();
    let caller = ends[0].clone();
    let call = Call::Shard(TARGET, Request::Get { at: ReadAt::Latest, keys: vec![] });
    world.spawn(&alive, Box::pin(async move { drop(caller.call(NodeId(2), call).await) }));
    world.run_until(Duration::from_millis(100), || false);
    assert_eq!(handlers[1].calls.lock().unwrap().len(), served);
}
