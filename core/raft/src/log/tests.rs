//! The runs against an obvious model: a base and one term per entry.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Model {
    base: SnapshotMeta,
    /// Of the entries after the base.
    terms: Vec<Term>,
}

impl Model {
    fn last(&self) -> LogIndex {
        LogIndex(self.base.index.0 + self.terms.len() as u64)
    }

    fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        let position = index.0.checked_sub(self.base.index.0 + 1)?;
        self.terms.get(position as usize).copied()
    }

    fn state(&self) -> LogState {
        let entries = (!self.terms.is_empty()).then(|| range(self.base.index.next(), &self.terms));
        LogState { base: self.base, entries }
    }

    fn splice(&mut self, first: LogIndex, terms: &[Term]) {
        self.terms.truncate((first.0 - self.base.index.0 - 1) as usize);
        self.terms.extend(terms);
    }

    fn first_new(&self, first: LogIndex, terms: &[Term]) -> Option<LogIndex> {
        let indexes = (first.0..).map(LogIndex);
        indexes.zip(terms).find(|(index, term)| self.term_at(*index) != Some(**term)).map(|(index, _)| index)
    }

    fn meeting_point(&self, entry: SnapshotMeta) -> Option<SnapshotMeta> {
        if entry.index < self.base.index {
            return None;
        }
        let held = |index| self.term_at(index).map(|term| SnapshotMeta { index, term });
        let fits = |meta: &SnapshotMeta| meta.term <= entry.term && meta.index > self.base.index;
        (0..=entry.index.0).rev().map(LogIndex).filter_map(held).find(fits).or(Some(self.base))
    }
}

/// The range of these terms, from `first` on.
fn range(first: LogIndex, terms: &[Term]) -> LogRange {
    let mut runs: Vec<Run> = Vec::new();
    for (index, term) in (first.0..).map(LogIndex).zip(terms) {
        if runs.last().is_none_or(|run| run.term != *term) {
            runs.push(Run { first: index, term: *term });
        }
    }
    LogRange { first, last: LogIndex(first.0 + terms.len() as u64 - 1), runs }
}

/// Terms that never descend, from `least` on, at least `count_min` of them.
fn terms(least: u64, count_min: usize) -> impl Strategy<Value = Vec<Term>> {
    let steps = prop::collection::vec(prop::sample::select(vec![0u64, 0, 0, 1, 2]), count_min..12);
    steps.prop_map(move |steps| {
        let mut term = least;
        steps
            .into_iter()
            .map(|step| {
                term += step;
                Term(term)
            })
            .collect()
    })
}

fn models() -> impl Strategy<Value = Model> {
    (0u64..5, 1u64..4).prop_flat_map(|(index, term)| {
        let base = if index == 0 {
            SnapshotMeta::default()
        } else {
            SnapshotMeta { index: LogIndex(index), term: Term(term) }
        };
        terms(base.term.0.max(1), 0).prop_map(move |terms| Model { base, terms })
    })
}

/// Every question that the log answers, asked everywhere.
fn check(log: &Log, model: &Model) {
    log.invariants();
    assert_eq!(log.base(), model.base);
    assert_eq!(log.last_index(), model.last());
    assert_eq!(log.last().term, model.term_at(model.last()).expect("the last entry or the base"));
    assert_eq!(*log, Log::new(model.state()), "runs are merged where terms are equal");
    let end = model.last().0 + 2;
    for index in (0..=end).map(LogIndex) {
        assert_eq!(log.term_at(index), model.term_at(index), "{index}");
        for term in (0..12).map(Term) {
            let entry = SnapshotMeta { index, term };
            assert_eq!(log.holds(entry), model.term_at(index) == Some(term), "{entry:?}");
            assert_eq!(log.meeting_point(entry), model.meeting_point(entry), "{entry:?}");
        }
    }
    for first in model.base.index.0 + 1..=model.last().0 {
        for last in first..=model.last().0 {
            let offset = |index: u64| (index - model.base.index.0 - 1) as usize;
            let expected = range(LogIndex(first), &model.terms[offset(first)..=offset(last)]);
            let found = log.range(LogIndex(first), LogIndex(last));
            assert!(found.is_sound());
            assert_eq!(found, expected);
            assert_eq!(log.range(model.base.index.next(), LogIndex(last)).starting_at(LogIndex(first)), expected);
        }
    }
}

proptest! {
    #[test]
    fn a_log_answers_as_its_model(model in models()) {
        check(&Log::new(model.state()), &model);
    }

    #[test]
    fn entries_are_appended(model in models(), step in 0u64..3, count in 1u64..5) {
        let mut log = Log::new(model.state());
        let mut model = model;
        let term = Term((log.last().term.0 + step).max(1));
        let first = model.last().next();
        let appended = vec![term; count as usize];
        prop_assert_eq!(log.extend(term, count), range(first, &appended));
        model.terms.extend(appended);
        check(&log, &model);
    }

    #[test]
    fn a_range_is_compared_and_spliced(model in models(), offset in 0u64..12, tail in terms(0, 1)) {
        let mut log = Log::new(model.state());
        let mut model = model;
        let first = LogIndex((model.base.index.0 + 1 + offset).min(model.last().0 + 1));
        // As from a leader that shares what comes before: terms do not descend below it.
        let least = model.term_at(first.prev()).expect("it is there").0;
        let tail: Vec<Term> = tail.into_iter().map(|term| Term((term.0 + least).max(1))).collect();
        let range = range(first, &tail);
        let first_new = log.first_new(&range);
        prop_assert_eq!(first_new, model.first_new(first, &tail));
        if let Some(first_new) = first_new {
            let rest = range.starting_at(first_new);
            let rest_terms = &tail[(first_new.0 - first.0) as usize..];
            prop_assert_eq!(rest.count(), rest_terms.len() as u64);
            prop_assert_eq!(rest.last_term(), *rest_terms.last().unwrap());
            log.splice(&rest);
            model.splice(first_new, rest_terms);
            check(&log, &model);
        }
    }

    #[test]
    fn a_prefix_is_dropped(model in models(), keep in 0u64..12) {
        let mut log = Log::new(model.state());
        let mut model = model;
        let index = LogIndex(model.last().0.saturating_sub(keep).max(model.base.index.0));
        let base = SnapshotMeta { index, term: model.term_at(index).expect("it is there") };
        log.compact(base);
        model.terms.drain(..(index.0 - model.base.index.0) as usize);
        model.base = base;
        check(&log, &model);
    }

    /// Two logs meet where the probing of a leader ends, in at most one message per term.
    #[test]
    fn probing_ends_at_the_common_base(shared in terms(1, 0), ours in terms(0, 0), theirs in terms(0, 0)) {
        let least = shared.last().map_or(1, |term| term.0);
        // Different leaders wrote the tails: ours in even terms, theirs in odd ones.
        let tail = |steps: Vec<Term>, odd: u64| -> Vec<Term> {
            steps.into_iter().map(|term| Term(2 * (term.0 + least) + odd)).collect()
        };
        let whole = |tail: Vec<Term>| Model { base: SnapshotMeta::default(), terms: [shared.clone(), tail].concat() };
        let leader = Log::new(whole(tail(ours, 0)).state());
        let follower = Log::new(whole(tail(theirs, 1)).state());
        let mut probe = leader.last();
        let mut messages = 0;
        while !follower.holds(probe) {
            let point = follower.meeting_point(probe).expect("nothing was compacted");
            probe = leader.meeting_point(point).expect("nothing was compacted");
            messages += 1;
            prop_assert!(messages <= 12, "a message per term at most");
        }
        prop_assert!(probe.index.0 <= shared.len() as u64, "{probe:?} is not shared");
        let base = LogIndex(shared.len() as u64);
        prop_assert!(probe.index == base || leader.last_index() < base || probe.term <= Term(least));
    }
}

#[test]
fn ranges_from_a_peer_are_checked() {
    let run = |first, term| Run { first: LogIndex(first), term: Term(term) };
    let sound = |first, last, runs| LogRange { first: LogIndex(first), last: LogIndex(last), runs }.is_sound();
    assert!(sound(3, 3, vec![run(3, 1)]));
    assert!(sound(3, 9, vec![run(3, 1), run(9, 4)]));
    assert!(!sound(3, 9, vec![]), "no runs");
    assert!(!sound(3, 2, vec![run(3, 1)]), "ends before it begins");
    assert!(!sound(3, 9, vec![run(4, 1)]), "a run begins late");
    assert!(!sound(3, 9, vec![run(3, 1), run(3, 2)]), "an empty run");
    assert!(!sound(3, 9, vec![run(3, 1), run(5, 1)]), "two runs of one term");
    assert!(!sound(3, 9, vec![run(3, 2), run(5, 1)]), "terms descend");
    assert!(!sound(3, 9, vec![run(3, 1), run(10, 2)]), "a run beyond the end");
}
