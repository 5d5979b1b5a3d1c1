use proptest::prelude::*;

use super::*;

fn sample() -> Vec<PeerMessage> {
    let meta = SnapshotMeta { index: LogIndex(7), term: Term(2) };
    let range = LogRange {
        first: LogIndex(8),
        last: LogIndex(10),
        runs: vec![Run { first: LogIndex(8), term: Term(2) }, Run { first: LogIndex(10), term: Term(5) }],
    };
    let raft = [
        Raft::PreVote { term: Term(3), last: meta },
        Raft::PreVoteReply { term: Term(3), granted: true },
        Raft::Vote { term: Term(3), last: meta },
        Raft::VoteReply { term: Term(3), granted: false },
        Raft::Append { term: Term(6), prev: meta, entries: Some(range), commit: LogIndex(7), round: 9 },
        Raft::Append { term: Term(6), prev: meta, entries: None, commit: LogIndex(7), round: 9 },
        Raft::AppendReply { term: Term(6), round: 9, outcome: AppendOutcome::Matched(LogIndex(10)) },
        Raft::AppendReply { term: Term(6), round: 9, outcome: AppendOutcome::Conflict(meta) },
        Raft::Heartbeat { term: Term(6), commit: LogIndex(7), round: 9 },
        Raft::HeartbeatReply { term: Term(6), round: 9 },
    ];
    let mut messages: Vec<PeerMessage> = raft
        .into_iter()
        .map(|message| {
            let entries = if matches!(message, Raft::Append { entries: Some(_), .. }) { 3 } else { 0 };
            PeerMessage::Raft(RaftMail {
                shard: ShardId(4),
                from: ReplicaId(1),
                to: ReplicaId(2),
                message,
                payloads: (0..entries).map(|n| Arc::from(vec![n as u8; 3])).collect(),
            })
        })
        .collect();
    messages.push(PeerMessage::StateHash { shard: ShardId(1), index: LogIndex(9), hash: [7; 32] });
    messages.push(PeerMessage::Ping);
    messages.push(PeerMessage::Answer { id: 3, answer: Answer::Snapshot { go_on: true } });
    messages.push(PeerMessage::Answer { id: 4, answer: Answer::Refused });
    messages
}

#[test]
fn messages_return_and_none_survives_a_cut_or_panics_on_a_changed_byte() {
    for message in sample() {
        let bytes = message.encode();
        assert_eq!(PeerMessage::decode(&bytes), Ok(message.clone()));
        for cut in 0..bytes.len() {
            assert!(PeerMessage::decode(&bytes[..cut]).is_err(), "{message:?} cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] = changed[at].wrapping_add(1);
            if let Ok(other) = PeerMessage::decode(&changed) {
                assert_ne!(other, message);
            }
        }
    }
}

proptest! {
    #[test]
    fn messages_return_whole_however_the_stream_is_cut(lens in prop::collection::vec(0usize..3_000_000, 1..4), cut in 1usize..1_500_000) {
        let messages: Vec<Vec<u8>> = lens.iter().enumerate().map(|(n, len)| vec![n as u8; *len]).collect();
        let mut stream = Vec::new();
        for message in &messages {
            put_frames(message, &mut stream);
        }
        let mut unframer = Unframer::default();
        let mut received = Vec::new();
        for piece in stream.chunks(cut) {
            unframer.push(piece);
            while let Some(message) = unframer.pop().unwrap() {
                received.push(message);
            }
        }
        prop_assert!(received == messages);
    }

    #[test]
    fn a_damaged_frame_is_refused(len in 0usize..200, at in 0usize..200, bit in 0u8..8) {
        let mut stream = Vec::new();
        put_frames(&vec![5; len], &mut stream);
        let at = at % stream.len();
        stream[at] ^= 1 << bit;
        let mut unframer = Unframer::default();
        unframer.push(&stream);
        // A changed length may only make the frame seem incomplete.
        prop_assert!(!matches!(unframer.pop(), Ok(Some(_))));
    }
}

#[test]
fn numbers_after_which_there_is_none_are_refused() {
    const END: u64 = u64::MAX;
    let meta = SnapshotMeta { index: LogIndex(7), term: Term(2) };
    let (far, late) = (SnapshotMeta { index: LogIndex(END), ..meta }, SnapshotMeta { term: Term(END), ..meta });
    let append = |prev, commit, round, last| Raft::Append {
        term: Term(6),
        prev,
        entries: Some(LogRange {
            first: LogIndex(last),
            last: LogIndex(last),
            runs: vec![Run { first: LogIndex(last), term: Term(2) }],
        }),
        commit: LogIndex(commit),
        round,
    };
    let raft = |message: Raft| {
        let payloads = if matches!(message, Raft::Append { .. }) { vec![Arc::from([1u8])] } else { vec![] };
        PeerMessage::Raft(RaftMail { shard: ShardId(4), from: ReplicaId(1), to: ReplicaId(2), message, payloads })
    };
    let piece = |term, sequence| {
        let (shard, from, to) = (ShardId(4), ReplicaId(1), ReplicaId(2));
        let piece =
            SnapshotPiece { shard, from, to, term: Term(term), meta: vec![], sequence, bytes: vec![], last: false };
        PeerMessage::Call { id: 1, call: Call::Snapshot(piece) }
    };
    let returns = |message: &PeerMessage| PeerMessage::decode(&message.encode()).is_ok();
    let sound = [
        raft(append(meta, 7, 9, 8)),
        raft(Raft::Vote { term: Term(tenet_types::COUNTER_MAX), last: meta }),
        piece(3, tenet_types::COUNTER_MAX),
    ];
    assert!(sound.iter().all(returns));
    let unsound = [
        raft(append(far, 7, 9, 8)),
        raft(append(late, 7, 9, 8)),
        raft(append(meta, END, 9, 8)),
        raft(append(meta, 7, END, 8)),
        raft(append(meta, 7, 9, END)),
        raft(Raft::PreVote { term: Term(END), last: meta }),
        raft(Raft::Vote { term: Term(tenet_types::COUNTER_MAX + 1), last: meta }),
        raft(Raft::AppendReply { term: Term(6), round: 9, outcome: AppendOutcome::Matched(LogIndex(END)) }),
        raft(Raft::AppendReply { term: Term(6), round: 9, outcome: AppendOutcome::Conflict(far) }),
        raft(Raft::Heartbeat { term: Term(6), commit: LogIndex(END), round: 9 }),
        raft(Raft::HeartbeatReply { term: Term(6), round: END }),
        PeerMessage::StateHash { shard: ShardId(1), index: LogIndex(END), hash: [7; 32] },
        piece(END, 0),
        piece(3, END),
    ];
    for message in unsound {
        assert!(!returns(&message), "{message:?}");
    }
}
