//! What waits for which ticket. (That nothing else waits, and nothing leaves early, the randomised tester checks.)

use tenet_types::{ReplicaId, Term};

use super::*;

fn hard_state(term: u64) -> Option<HardState> {
    Some(HardState { term: Term(term), vote: Some(ReplicaId(1)) })
}

fn at(index: u64) -> LogIndex {
    LogIndex(index)
}

#[test]
fn a_message_waits_for_what_it_rests_on_and_no_more() {
    let mut tickets = Tickets::new(HardState::default(), at(4));
    assert_eq!(tickets.awaited(Rest::Term), None);
    let term = tickets.open(hard_state(1), at(4), None);
    let early = tickets.open(None, at(6), None);
    let late = tickets.open(None, at(9), None);
    for (rest, awaited) in [
        (Rest::Nothing, None),
        (Rest::Term, Some(term)),
        (Rest::Log(at(4)), Some(term)),
        (Rest::Log(at(5)), Some(early)),
        (Rest::Log(at(6)), Some(early)),
        (Rest::Log(at(7)), Some(late)),
    ] {
        assert_eq!(tickets.awaited(rest), awaited, "{rest:?}");
    }
    assert_eq!(tickets.close(early), None);
    assert_eq!(tickets.durable(), at(6));
    assert_eq!(tickets.awaited(Rest::Term), None);
    assert_eq!(tickets.awaited(Rest::Log(at(6))), None);
    tickets.invariants(at(9));
}

#[test]
fn an_ack_waits_for_a_term_that_comes_after_its_entries() {
    let mut tickets = Tickets::new(HardState::default(), at(0));
    let entries = tickets.open(None, at(3), None);
    let term = tickets.open(hard_state(2), at(3), None);
    assert!(entries < term);
    assert_eq!(tickets.awaited(Rest::Log(at(3))), Some(term));
}

#[test]
fn a_dropped_suffix_counts_for_nothing() {
    let mut tickets = Tickets::new(HardState::default(), at(4));
    let kept = tickets.open(None, at(6), None);
    let dropped = tickets.open(None, at(9), None);
    tickets.cut(at(6));
    let again = tickets.open(None, at(8), None);
    tickets.invariants(at(8));
    assert_eq!(tickets.awaited(Rest::Log(at(7))), Some(again));
    tickets.close(kept);
    assert_eq!(tickets.durable(), at(6));
    tickets.close(dropped);
    assert_eq!(tickets.durable(), at(6), "7 to 9 were durable, and are others now");
    tickets.close(again);
    assert_eq!(tickets.durable(), at(8));
    // What was durable can be dropped too.
    tickets.cut(at(5));
    assert_eq!(tickets.durable(), at(5));
}

#[test]
fn a_later_answer_covers_earlier_tickets() {
    let snapshot = |index| Some(SnapshotMeta { index: at(index), term: Term(1) });
    let mut tickets = Tickets::new(HardState::default(), at(0));
    tickets.open(hard_state(1), at(10), snapshot(10));
    tickets.open(None, at(20), snapshot(20));
    let last = tickets.open(None, at(21), None);
    assert_eq!(tickets.close(last), snapshot(20), "the last of them is in place");
    assert_eq!(tickets.durable(), at(21));
    assert_eq!(tickets.close(last), None, "an answer may come twice");
    assert!(tickets.is_hard_state_durable());
}
