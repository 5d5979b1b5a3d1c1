//! What no public call can bring about: a writer with a bug.

use tenet_seam::fake::FakeDisk;
use tenet_types::ReplicaId;

use super::*;
use crate::Change;

/// Opens a log of one group that voted, after another segment was begun by a header that says something else of it.
fn open_after(contradict: impl Fn(&mut GroupState)) -> Result<Wal, WalError> {
    let fake = FakeDisk::new(1);
    let wal = Wal::open(fake.handle(), "wal", WalOptions::default())?;
    let hard_state = Some((Term(3), Some(ReplicaId(2))));
    let change = Change { create: Some(ReplicaId(1)), hard_state, ..Change::default() };
    wal.append(Batch { groups: vec![(ShardId(1), change)] })?;
    {
        let writer = wal.writer.lock().unwrap();
        let mut groups = wal.index().states();
        contradict(&mut groups[0].1);
        let body = SegmentBody { floor: SegmentId(1), salt: 0, groups };
        let (link, directory) = (writer.head.link, &writer.head.directory);
        segment::begin(&*wal.disk, "wal", SegmentId(2), &body, link, directory, 4096)?;
    }
    fake.restart();
    Wal::open(fake.handle(), "wal", WalOptions::default())
}

#[test]
fn a_header_that_contradicts_the_segments_before_is_refused() {
    assert!(open_after(|_| {}).is_ok());
    for contradict in [
        |state: &mut GroupState| state.vote = None,
        |state: &mut GroupState| state.term = Term(2),
        |state: &mut GroupState| state.replica = ReplicaId(9),
    ] {
        let error = open_after(contradict).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("it contradicts the segments before"), "{error}");
    }
}
