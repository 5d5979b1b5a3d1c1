//! What the log should hold, said as plainly as possible: every entry in a map. And random histories to feed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenet_types::{LogIndex, ReplicaId, ShardId, Term};
use tenet_wal::{Batch, Change, Frame, GroupState, Wal, WalError};

/// Splitmix64.
pub struct Luck(pub u64);

impl Luck {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelGroup {
    pub replica: u64,
    pub term: u64,
    pub vote: Option<u64>,
    pub base: (u64, u64),
    pub entries: BTreeMap<u64, (u64, Arc<[u8]>)>,
    pub checkpoint: (u64, u64),
}

impl ModelGroup {
    pub fn last(&self) -> u64 {
        self.entries.keys().next_back().copied().unwrap_or(self.base.0)
    }

    fn term_at(&self, index: u64) -> u64 {
        if index == self.base.0 { self.base.1 } else { self.entries[&index].0 }
    }

    fn state(&self) -> GroupState {
        let mut runs: Vec<(LogIndex, Term)> = Vec::new();
        for (index, (term, _)) in &self.entries {
            if runs.last().is_none_or(|run| run.1 != Term(*term)) {
                runs.push((LogIndex(*index), Term(*term)));
            }
        }
        let position = |(index, term)| (LogIndex(index), Term(term));
        GroupState {
            replica: ReplicaId(self.replica),
            term: Term(self.term),
            vote: self.vote.map(ReplicaId),
            base: position(self.base),
            runs,
            last: LogIndex(self.last()),
            checkpoint: position(self.checkpoint),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub groups: BTreeMap<u64, ModelGroup>,
}

fn plain((index, term): (LogIndex, Term)) -> (u64, u64) {
    (index.0, term.0)
}

impl Model {
    pub fn apply(&mut self, batch: &Batch) {
        for (shard, change) in &batch.groups {
            if let Some(replica) = change.create {
                self.groups.entry(shard.0).or_insert(ModelGroup {
                    replica: replica.0,
                    term: 0,
                    vote: None,
                    base: (0, 0),
                    entries: BTreeMap::new(),
                    checkpoint: (0, 0),
                });
            }
            let group = self.groups.get_mut(&shard.0).unwrap();
            if let Some((term, vote)) = change.hard_state {
                (group.term, group.vote) = (term.0, vote.map(|vote| vote.0));
            }
            if let Some(base) = change.reset {
                (group.base, group.checkpoint) = (plain(base), plain(base));
                group.entries.clear();
            }
            if let Some(first) = change.entries.first() {
                group.entries.retain(|index, _| *index < first.index.0);
            }
            for frame in &change.entries {
                group.entries.insert(frame.index.0, (frame.term.0, frame.payload.clone()));
            }
            group.checkpoint = change.checkpoint.map_or(group.checkpoint, plain);
            if let Some(base) = change.compact {
                group.base = plain(base);
                group.entries.retain(|index, _| *index > base.0.0);
            }
            if change.drop {
                self.groups.remove(&shard.0);
            }
        }
    }

    /// Every group, bound, vote and payload is as it should be. `Err` says what is not.
    pub fn check(&self, wal: &Wal, luck: &mut Luck) -> Result<(), String> {
        let shards: Vec<ShardId> = self.groups.keys().copied().map(ShardId).collect();
        if wal.groups() != shards {
            return Err(format!("groups {:?}, not {shards:?}", wal.groups()));
        }
        for (shard, group) in &self.groups {
            let shard = ShardId(*shard);
            let state = wal.group(shard).unwrap();
            if state != group.state() {
                return Err(format!("{shard} is {state:?}, not {:?}", group.state()));
            }
            self.check_entries(wal, shard, group, luck)?;
        }
        Ok(())
    }

    fn check_entries(&self, wal: &Wal, shard: ShardId, group: &ModelGroup, luck: &mut Luck) -> Result<(), String> {
        let mut at = group.base.0 + 1;
        let last = group.last();
        while at <= last {
            let frames = wal
                .read(shard, LogIndex(at), LogIndex(last), luck.below(6000) as usize)
                .map_err(|error| format!("{shard} #{at}: {error}"))?;
            assert!(!frames.is_empty());
            for frame in frames {
                let (term, payload) = &group.entries[&at];
                if (frame.index, frame.term, &frame.payload) != (LogIndex(at), Term(*term), payload) {
                    return Err(format!("{shard} #{at} is not what was written"));
                }
                at += 1;
            }
        }
        for absent in [group.base.0, last + 1] {
            let read = wal.read(shard, LogIndex(absent), LogIndex(absent), 1);
            assert!(matches!(read, Err(WalError::Missing { .. })), "{read:?}");
        }
        Ok(())
    }
}

/// Which histories to draw.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub shards: u64,
    pub payload_bytes_max: u64,
}

impl Mix {
    pub fn draw(luck: &mut Luck) -> Mix {
        Mix { shards: 1 + luck.below(5), payload_bytes_max: [1, 40, 700, 3000][luck.below(4) as usize] }
    }

    /// A batch that fits the model. May be empty.
    pub fn batch(&self, model: &Model, luck: &mut Luck) -> Batch {
        let mut batch = Batch::default();
        for shard in 1..=self.shards {
            if luck.chance(60) {
                batch.groups.push((ShardId(shard), self.change(model.groups.get(&shard), luck)));
            }
        }
        batch
    }

    fn change(&self, group: Option<&ModelGroup>, luck: &mut Luck) -> Change {
        let mut change = Change::default();
        let Some(group) = group else {
            change.create = Some(ReplicaId(1 + luck.below(9)));
            if luck.chance(50) {
                change.hard_state = Some((Term(luck.below(3)), None));
            }
            if luck.chance(30) {
                change.entries = self.entries(1, 1, 1, luck);
            }
            return change;
        };
        if luck.chance(4) {
            change.drop = true;
            return change;
        }
        if luck.chance(10) {
            change.create = Some(ReplicaId(group.replica));
        }
        let mut term = group.term;
        if luck.chance(30) {
            term += luck.below(3);
            let vote = if term == group.term && group.vote.is_some() { group.vote } else { Some(1 + luck.below(5)) };
            change.hard_state = Some((Term(term), vote.map(ReplicaId)));
        }
        if luck.chance(4) {
            let index = group.last() + luck.below(20);
            let index = if luck.chance(30) { group.checkpoint.0.max(index.saturating_sub(25)) } else { index };
            let log_term =
                if index <= group.last() { group.term_at(index) } else { group.term_at(group.last()).max(term) };
            change.reset = Some((LogIndex(index), Term(log_term)));
            if luck.chance(30) {
                change.entries = self.entries(index + 1, log_term, 1 + luck.below(3), luck);
            }
            return change;
        }
        if luck.chance(60) {
            let span = group.last() - group.checkpoint.0;
            let first = if luck.chance(20) { group.last() + 1 - luck.below(span + 1) } else { group.last() + 1 };
            change.entries = self.entries(first, group.term_at(first - 1).max(term.min(50)), 1 + luck.below(4), luck);
        } else if luck.chance(60) {
            let checkpoint = group.checkpoint.0 + luck.below(group.last() - group.checkpoint.0 + 1);
            change.checkpoint = Some((LogIndex(checkpoint), Term(group.term_at(checkpoint))));
            if luck.chance(70) {
                let base = group.base.0 + luck.below(checkpoint - group.base.0 + 1);
                let base = if luck.chance(50) { checkpoint } else { base };
                change.compact = Some((LogIndex(base), Term(group.term_at(base))));
            }
        }
        change
    }

    fn entries(&self, first: u64, term: u64, count: u64, luck: &mut Luck) -> Vec<Frame> {
        let mut term = term;
        let mut frames = Vec::new();
        for index in first..first + count {
            term += u64::from(luck.chance(10));
            frames.push(Frame { index: LogIndex(index), term: Term(term), payload: self.payload(luck) });
        }
        frames
    }

    fn payload(&self, luck: &mut Luck) -> Arc<[u8]> {
        let len = luck.below(self.payload_bytes_max + 1);
        let zeros = luck.chance(15);
        (0..len).map(|_| if zeros { 0 } else { luck.next() as u8 }).collect()
    }
}
