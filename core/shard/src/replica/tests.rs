//! One replica, driven by hand: what its peers say, what its disk and store answer, and when.

use tenet_raft::{LogState, Run};
use tenet_store::Applied;
use tenet_types::{RangeEpoch, ReadSet, RequestId, TenantId, Write};

use super::*;

const SHARD: ShardId = ShardId(2);
const ME: ReplicaId = ReplicaId(1);
const PEER: ReplicaId = ReplicaId(2);

/// A replica, and the last ticket that its disk has not answered.
struct Driven {
    replica: Replica,
    ticket: Option<Ticket>,
}

fn meta(applied: u64, term: u64) -> Meta {
    Meta { applied: LogIndex(applied), applied_term: Term(term), timestamp: Timestamp(applied), ..Meta::new(SHARD) }
}

impl Driven {
    fn new(limits: Limits) -> Driven {
        let replicas = (1..=3).map(|n| (NodeId(n), ReplicaId(n))).collect();
        let descriptor = Descriptor { tenant: TenantId(1), shard: SHARD, epoch: RangeEpoch(1), replicas };
        let found = Found { replica: ME, hard_state: Default::default(), log: LogState::default(), meta: meta(0, 0) };
        Driven { replica: Replica::new(descriptor, found, Arc::new(limits), 0), ticket: None }
    }

    fn take(&mut self, work: Work) -> Work {
        self.ticket = work.persist.as_ref().map(|(ticket, _)| *ticket).or(self.ticket);
        work
    }

    fn step(&mut self, input: Input) -> Work {
        let work = self.replica.step(input, 0);
        self.take(work)
    }

    fn hear(&mut self, message: Message, payloads: Vec<Arc<[u8]>>) -> Work {
        let work = self.replica.receive(RaftMail { shard: SHARD, from: PEER, to: ME, message, payloads }, 0);
        self.take(work)
    }

    /// The disk answers for all that it was given.
    fn sync(&mut self) {
        while let Some(ticket) = self.ticket.take() {
            let work = self.replica.persisted(ticket, 0);
            self.take(work);
        }
    }

    /// The store applies what it is given next; returns how far, and how many payloads were at hand for it.
    fn apply(&mut self, count_max: u64) -> Option<(LogIndex, usize)> {
        let (first, last, cached) = self.replica.next_apply()?;
        let last = last.min(LogIndex(first.0 + count_max - 1));
        let term = self.replica.raft().term_at(last).expect("in the log");
        let one = |index| Applied { timestamp: Timestamp(index), state_hash: [0; 32] };
        let results = (first.0..=last.0).map(one).collect();
        let work = self.replica.applied(first, AppliedEntries { results, bytes: 1, meta: meta(last.0, term.0) }, 0);
        self.take(work);
        Some((last, cached.len()))
    }

    /// Leads in term 1, and has applied its no-op.
    fn lead(&mut self) {
        for _ in 0..self.replica.limits.election_ticks {
            self.step(Input::Tick);
        }
        self.hear(Message::PreVoteReply { term: Term(1), granted: true }, vec![]);
        self.sync();
        self.hear(Message::VoteReply { term: Term(1), granted: true }, vec![]);
        self.sync();
        self.matched(1);
        self.apply(1);
        assert!(self.replica.status().serving);
    }

    fn matched(&mut self, index: u64) {
        let outcome = tenet_raft::AppendOutcome::Matched(LogIndex(index));
        self.hear(Message::AppendReply { term: Term(1), round: 0, outcome }, vec![]);
    }

    fn commit(&mut self, n: u8) -> oneshot::Receiver<Response> {
        let target = Target { tenant: TenantId(1), shard: SHARD, epoch: RangeEpoch(1), catalog: None };
        let commit = CommitRequest {
            request: RequestId { session: 1, sequence: u64::from(n) },
            snapshot: Timestamp::ZERO,
            reads: ReadSet::default(),
            catalog: CatalogVersion(0),
            writes: vec![Write { key: Key(vec![n]), value: None }],
        };
        let (answer, answered) = oneshot::channel();
        self.replica.admit(&target, commit, (Moment(1), 1), answer);
        if self.replica.has_batch() {
            let work = self.replica.propose(0);
            self.take(work);
        }
        answered
    }

    /// The leader of term 1 sends entries `first..=last` with payloads of 100 bytes, committed up to `commit`.
    fn append(&mut self, first: u64, last: u64, commit: u64) {
        let term = Term(u64::from(first > 1));
        let message = Message::Append {
            term: Term(1),
            prev: SnapshotMeta { index: LogIndex(first - 1), term },
            entries: Some(LogRange {
                first: LogIndex(first),
                last: LogIndex(last),
                runs: vec![Run { first: LogIndex(first), term: Term(1) }],
            }),
            commit: LogIndex(commit),
            round: 0,
        };
        self.hear(message, (first..=last).map(|n| Arc::from(vec![n as u8; 100])).collect());
    }
}

#[test]
fn a_follower_whose_store_is_slow_drops_what_it_can_read_back() {
    let limits = Limits { cache_bytes_max: 1000, ..Limits::default() };
    let mut follower = Driven::new(limits);
    for n in 0..10 {
        follower.append(n * 10 + 1, n * 10 + 10, n * 10);
        follower.sync();
        assert!(follower.replica.cache_bytes <= 1000, "{} bytes after {n}", follower.replica.cache_bytes);
    }
    // What is applied next is at hand; what comes later is read back, also in the middle of what is to be applied.
    follower.append(101, 105, 100);
    assert_eq!(follower.apply(6), Some((LogIndex(6), 10)));
    assert_eq!(follower.apply(4), Some((LogIndex(10), 4)));
    assert_eq!(follower.apply(90), Some((LogIndex(100), 0)));
    follower.sync();
    follower.append(106, 106, 105);
    assert_eq!(follower.apply(90), Some((LogIndex(105), 5)), "it has caught up");
    // What is not durable cannot be read back.
    follower.sync();
    follower.append(107, 126, 106);
    assert_eq!(follower.apply(90), Some((LogIndex(106), 1)));
    assert_eq!(follower.replica.cache.range(LogIndex(107)..).count(), 20);
}

#[test]
fn a_leader_keeps_what_it_proposed_until_it_is_applied() {
    let mut leader = Driven::new(Limits { cache_bytes_max: 1, ..Limits::default() });
    leader.lead();
    let outcomes: Vec<_> = (0..5).map(|n| leader.commit(n)).collect();
    leader.sync();
    leader.matched(6);
    assert_eq!(leader.apply(5), Some((LogIndex(6), 5)));
    assert!(outcomes.into_iter().all(|mut outcome| matches!(outcome.try_recv(), Ok(Response::Commit(_)))));
    assert_eq!(leader.replica.cache_bytes, 0);
}

#[test]
fn a_commit_beyond_what_is_admitted_is_told_that_its_leader_is_busy() {
    for limits in
        [Limits { proposals_max: 1, ..Limits::default() }, Limits { proposals_bytes_max: 1, ..Limits::default() }]
    {
        let mut leader = Driven::new(limits);
        leader.lead();
        let mut first = leader.commit(1);
        assert_eq!(leader.commit(2).try_recv(), Ok(Response::Error(ShardError::Busy)));
        leader.sync();
        leader.matched(2);
        leader.apply(1);
        assert!(matches!(first.try_recv(), Ok(Response::Commit(_))));
        assert!(leader.commit(3).try_recv().is_err(), "there is room again");
    }
}

#[test]
fn a_committed_proposal_that_a_snapshot_covers_is_answered_unknown() {
    let mut deposed = Driven::new(Limits::default());
    deposed.lead();
    let mut covered = deposed.commit(1);
    deposed.sync();
    deposed.matched(2);
    assert_eq!(deposed.replica.status().commit, LogIndex(2), "raft has said its last word on it");
    assert!(covered.try_recv().is_err(), "its store has not applied it");

    let snapshot = SnapshotMeta { index: LogIndex(500), term: Term(2) };
    let work = deposed.step(Input::SnapshotReceived { from: PEER, term: Term(2), meta: snapshot });
    assert!(work.install);
    deposed.replica.installing = true;
    assert!(covered.try_recv().is_err(), "the snapshot may yet be lost");
    deposed.replica.installed(meta(500, 2));
    deposed.sync();
    assert_eq!(covered.try_recv(), Ok(Response::Error(ShardError::Unknown)));
    assert_eq!(
        (deposed.replica.waiting(), deposed.replica.commits_bytes),
        (0, 0),
        "it counts against no bound any more"
    );
}
