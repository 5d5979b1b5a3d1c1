//! The window against the obvious model: all writes ever, searched one by one. Deliberate breaks that these tests catch:
//! ignoring writes in flight, ignoring spans, forgetting a set without raising the floor, taking a key's earlier write for
//! its latest.

use proptest::prelude::*;
use tenet_types::{Span, Timestamp};

use super::*;

fn key(n: u8) -> Key {
    Key(vec![n])
}

fn reads(keys: &[u8], spans: &[(u8, u8)]) -> ReadSet {
    ReadSet {
        keys: keys.iter().map(|k| key(*k)).collect(),
        spans: spans.iter().map(|(a, b)| Span { start: key(*a), end: key(*b) }).collect(),
    }
}

#[test]
fn a_write_in_flight_conflicts_and_an_applied_one_only_with_older_snapshots() {
    let mut window = Window::new(Timestamp(10), of_sets(8));
    window.proposed(LogIndex(5), vec![key(1)]);
    assert!(!window.admits(Timestamp(10), &reads(&[1], &[])));
    assert!(!window.admits(Timestamp(99), &reads(&[1], &[])));
    assert!(window.admits(Timestamp(10), &reads(&[2], &[])));
    window.applied(LogIndex(5), Timestamp(20));
    assert!(!window.admits(Timestamp(19), &reads(&[1], &[])));
    assert!(window.admits(Timestamp(20), &reads(&[1], &[])));
    assert!(!window.admits(Timestamp(19), &reads(&[], &[(0, 2)])));
    assert!(window.admits(Timestamp(19), &reads(&[], &[(0, 1)])));
    assert!(window.admits(Timestamp(0), &ReadSet::default()), "a blind write has read nothing");
}

#[derive(Clone, Debug)]
enum Step {
    Propose(Vec<u8>),
    Apply,
    Ask { age: u64, keys: Vec<u8>, spans: Vec<(u8, u8)> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(0u8..8, 1..4).prop_map(|mut keys| {
            keys.sort();
            keys.dedup();
            Step::Propose(keys)
        }),
        Just(Step::Apply),
        (0u64..8, prop::collection::vec(0u8..8, 0..3), prop::collection::vec((0u8..8, 0u8..8), 0..2))
            .prop_map(|(age, keys, spans)| Step::Ask { age, keys, spans }),
    ]
}

fn of_sets(sets_max: usize) -> WindowBound {
    WindowBound { sets_max, bytes_max: usize::MAX }
}

#[test]
fn a_window_is_bounded_in_bytes_too() {
    let large: Vec<Key> = (0..100).map(key).collect();
    let bytes_max = 3 * large.iter().map(key_bytes).sum::<usize>();
    let mut window = Window::new(Timestamp(10), WindowBound { sets_max: 1_000, bytes_max });
    for n in 0..50 {
        window.proposed(LogIndex(n + 1), large.clone());
        // In flight it counts for whoever reads, however large.
        assert!(!window.admits(Timestamp(10 + n), &reads(&[1], &[])));
        window.applied(LogIndex(n + 1), Timestamp(11 + n));
        assert!(window.bytes <= bytes_max && window.sets.len() <= 3);
        assert!(window.admits(Timestamp(11 + n), &reads(&[1], &[])));
    }
    assert_eq!(window.floor, Timestamp(57));
    assert!(!window.admits(Timestamp(56), &reads(&[200], &[])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_window_agrees_with_all_writes_ever(steps in prop::collection::vec(step(), 1..60), sets_max in 1usize..6) {
        let mut window = Window::new(Timestamp(100), of_sets(sets_max));
        let mut model: Vec<(Vec<u8>, Option<u64>)> = Vec::new();
        let (mut next_apply, mut now) = (0usize, 100u64);
        for step in steps {
            match step {
                Step::Propose(keys) => {
                    model.push((keys.clone(), None));
                    window.proposed(LogIndex(model.len() as u64), keys.into_iter().map(key).collect());
                }
                Step::Apply if next_apply < model.len() => {
                    now += 1;
                    model[next_apply].1 = Some(now);
                    next_apply += 1;
                    window.applied(LogIndex(next_apply as u64), Timestamp(now));
                }
                Step::Apply => {}
                Step::Ask { age, keys, spans } => {
                    let snapshot = now.saturating_sub(age).max(100);
                    let touched = |k: &u8| keys.contains(k) || spans.iter().any(|(a, b)| a <= k && k < b);
                    let changed = model.iter().any(|(written, at)| at.is_none_or(|at| at > snapshot) && written.iter().any(touched));
                    let admitted = window.admits(Timestamp(snapshot), &reads(&keys, &spans));
                    if changed {
                        prop_assert!(!admitted, "a changed read was admitted");
                    } else if !admitted {
                        let kept = next_apply.saturating_sub(sets_max);
                        let floor = model[..kept].iter().filter_map(|(_, at)| *at).max().unwrap_or(100);
                        prop_assert!(snapshot < floor, "refused although nothing changed and the window reaches back to {floor}");
                    }
                }
            }
        }
    }
}
