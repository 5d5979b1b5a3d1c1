use proptest::prelude::*;

use super::*;

fn key(n: u16) -> Key {
    Key([&[0; TABLE_BYTES][..], &n.to_be_bytes()].concat())
}

fn holds(set: &ReadSet, key: &Key) -> bool {
    set.keys.contains(key) || set.spans.iter().any(|span| span.contains(key))
}

proptest! {
    /// Beside a plain list of everything read: the set holds the same keys, in spans that neither touch nor overlap.
    #[test]
    fn merged_spans_hold_what_was_read_and_no_more(reads in prop::collection::vec((0u16..60, 0u16..12), 0..30)) {
        let mut merged = Reads::default();
        for (start, len) in &reads {
            match len {
                0 => merged.add_key(&key(*start)),
                len => merged.add_span(Span { start: key(*start), end: key(start + len) }),
            }
        }
        let set = merged.to_read_set();
        for n in 0..80 {
            let read = reads.iter().any(|(start, len)| n == *start || (*start <= n && n < start + len));
            prop_assert_eq!(holds(&set, &key(n)), read, "key {}", n);
        }
        for pair in set.spans.windows(2) {
            prop_assert!(pair[0].end < pair[1].start);
        }
        let bytes = merged.keys.iter().map(|k| k.0.len()).sum::<usize>()
            + merged.spans.iter().map(|(s, e)| s.0.len() + e.0.len()).sum::<usize>();
        prop_assert_eq!(merged.bytes, bytes);
    }
}

#[test]
fn a_large_set_is_widened_within_its_tables_and_loses_nothing() {
    let mut reads = Reads::default();
    let other = Key(vec![9; TABLE_BYTES + 2]);
    reads.add_key(&other);
    for n in (0..20_000).step_by(2) {
        reads.add_key(&key(n));
        assert!(reads.bytes <= READ_SET_BYTES_MAX);
    }
    let set = reads.to_read_set();
    assert!((0..20_000).step_by(2).all(|n| holds(&set, &key(n))));
    assert!(holds(&set, &other));
    assert!(!holds(&set, &Key(vec![5; TABLE_BYTES])));
}
