//! The payloads written last, within a bound: first in, first out, whoever they belong to.

use std::collections::VecDeque;

use tenet_types::{LogIndex, ShardId};

use crate::group::Place;

/// What an entry of the queue costs beside its payload.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Which slots hold a payload, oldest first. The payloads are in the slots; one that was dropped with its slot still counts
/// here until its turn comes, so that the queue itself is bounded too.
pub(crate) struct Cache {
    queue: VecDeque<(ShardId, LogIndex, Place)>,
    bytes: usize,
    bytes_max: usize,
}

impl Cache {
    pub fn new(bytes_max: usize) -> Cache {
        Cache { queue: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, shard: ShardId, index: LogIndex, place: Place) {
        self.bytes += cost(place);
        self.queue.push_back((shard, index, place));
    }

    /// The next slot to let go of, while there is too much.
    pub fn pop_excess(&mut self) -> Option<(ShardId, LogIndex, Place)> {
        if self.bytes <= self.bytes_max {
            return None;
        }
        let (shard, index, place) = self.queue.pop_front()?;
        self.bytes -= cost(place);
        Some((shard, index, place))
    }
}

fn cost(place: Place) -> usize {
    place.payload_bytes as usize + ENTRY_OVERHEAD_BYTES
}
