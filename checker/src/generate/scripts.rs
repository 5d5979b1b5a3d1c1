//! Each anomaly in the fewest transactions that show it and nothing graver. See `script` for the form.

use super::Model;

/// By name: what the checker calls it. The names of anomalies with clients' order are those of the cycles they close.
pub fn names(model: Model) -> Vec<&'static str> {
    of(model).iter().map(|(name, _)| *name).collect()
}

pub(super) fn find(model: Model, name: &str) -> Option<&'static str> {
    of(model).iter().find(|(known, _)| *known == name).map(|(_, script)| *script)
}

fn of(model: Model) -> &'static [(&'static str, &'static str)] {
    match model {
        Model::Lists => LISTS,
        Model::Registers => REGISTERS,
    }
}

const LISTS: &[(&str, &str)] = &[
    ("garbage-read", "0 ok append x 1\n--\n1 ok r x 1/7"),
    ("duplicate-elements", "0 ok append x 1\n--\n1 ok r x 1/1"),
    ("incompatible-order", "0 ok append x 1\n1 ok append x 2\n2 ok r x 1/2\n3 ok r x 2/1"),
    ("G1a", "0 fail append x 1\n1 ok r x 1"),
    ("dirty-update", "0 fail append x 1\n1 ok append x 2\n--\n2 ok r x 1/2"),
    ("G1b", "0 ok append x 1, append x 2\n1 ok r x 1\n--\n2 ok r x 1/2"),
    ("future-read", "0 ok r x 1, append x 1"),
    ("internal", "0 ok append x 1, r x -\n--\n1 ok r x 1"),
    ("G0", "0 ok append x 1, append y 1\n1 ok append x 2, append y 2\n--\n2 ok r x 1/2, r y 2/1"),
    ("G0-process", "0 ok append x 2\n--\n0 ok append x 1\n1 ok r x 1/2"),
    ("G0-realtime", "0 ok append x 2\n--\n1 ok append x 1\n2 ok r x 1/2"),
    ("G1c", "0 ok append x 1, r y 1\n1 ok append y 1, r x 1"),
    ("G1c-process", "0 ok r x 1\n--\n0 ok append x 1"),
    ("G1c-realtime", "0 ok r x 1\n--\n1 ok append x 1"),
    ("lost-update", "0 ok r x -, append x 1\n1 ok r x -, append x 2\n--\n2 ok r x 1/2"),
    ("fractured-read", "0 ok append x 1, append y 1\n1 ok r x 1, r y -"),
    ("G-monotonic", "0 ok append x 1, append y 1\n2 ok r y 1, append z 1\n1 ok r z 1, r x -"),
    ("G-single", "0 ok append x 1, append y 1\n2 ok r y 1, append z 1\n1 ok r x -, r z 1"),
    ("G-single-predicate", "0 ok append x 1, append y 1\n1 ok rr a x, r y 1"),
    ("G-single-process", "0 ok append x 1\n--\n0 ok r x -"),
    ("G-single-realtime", "0 ok append x 1\n--\n1 ok r x -"),
    ("G-nonadjacent", "0 ok append x 1\n1 ok append y 1\n2 ok r x 1, r y -\n3 ok r y 1, r x -"),
    ("G-nonadjacent-process", "0 ok append x 1\n1 ok.. append y 1\n2 ok.. r y 1, r x -\n--\n0 ok r y -"),
    ("G-nonadjacent-realtime", "0 ok append x 1\n1 ok.. append y 1\n2 ok.. r y 1, r x -\n--\n3 ok r y -"),
    ("G2-item", "0 ok r x -, append y 1\n1 ok r y -, append x 1"),
    ("G2-item-process", "0 ok append x 1\n1 ok.. r z -, append y 1\n2 ok.. r x -, append z 1\n--\n0 ok r y -"),
    ("G2-item-realtime", "0 ok append x 1\n1 ok.. r z -, append y 1\n2 ok.. r x -, append z 1\n--\n3 ok r y -"),
    ("G2", "0 ok rr x y, append y 1\n1 ok rr x y, append x 1"),
    ("G2-process", "0 ok append x 1\n1 ok.. rr y z, append y 1\n2 ok.. r x -, append z 1\n--\n0 ok r y -"),
    ("G2-realtime", "0 ok append x 1\n1 ok.. rr y z, append y 1\n2 ok.. r x -, append z 1\n--\n3 ok r y -"),
];

/// Where no read shows which of two writes came later, nobody can say: there is no G0 but by keys that are sequential or
/// linearizable, and cyclic versions show that first.
const REGISTERS: &[(&str, &str)] = &[
    ("garbage-read", "0 ok w x 1\n--\n1 ok r x 7"),
    ("cyclic-versions", "0 ok r x 1, w x 2\n1 ok r x 2, w x 1"),
    ("G1a", "0 fail w x 1\n1 ok r x 1"),
    ("G1b", "0 ok w x 1, w x 2\n1 ok r x 1"),
    ("future-read", "0 ok r x 1, w x 1"),
    ("internal", "0 ok w x 1, r x -\n--\n1 ok r x 1"),
    ("G1c", "0 ok w x 1, r y 1\n1 ok w y 1, r x 1"),
    ("G1c-process", "0 ok r x 1\n--\n0 ok w x 1"),
    ("G1c-realtime", "0 ok r x 1\n--\n1 ok w x 1"),
    ("lost-update", "0 ok r x -, w x 1\n1 ok r x -, w x 2"),
    ("fractured-read", "0 ok w x 1, w y 1\n1 ok r x 1, r y -"),
    ("G-monotonic", "0 ok w x 1, w y 1\n2 ok r y 1, w z 1\n1 ok r z 1, r x -"),
    ("G-single", "0 ok w x 1, w y 1\n2 ok r y 1, w z 1\n1 ok r x -, r z 1"),
    ("G-single-predicate", "0 ok w x 1, w y 1\n1 ok rr a x, r y 1"),
    ("G-single-process", "0 ok w x 1\n--\n0 ok r x -"),
    ("G-single-realtime", "0 ok w x 1\n--\n1 ok r x -"),
    ("G-nonadjacent", "0 ok w x 1\n1 ok w y 1\n2 ok r x 1, r y -\n3 ok r y 1, r x -"),
    ("G-nonadjacent-process", "0 ok w x 1\n1 ok.. w y 1\n2 ok.. r y 1, r x -\n--\n0 ok r y -"),
    ("G-nonadjacent-realtime", "0 ok w x 1\n1 ok.. w y 1\n2 ok.. r y 1, r x -\n--\n3 ok r y -"),
    ("G2-item", "0 ok r x -, w y 1\n1 ok r y -, w x 1"),
    ("G2-item-process", "0 ok w x 1\n1 ok.. r z -, w y 1\n2 ok.. r x -, w z 1\n--\n0 ok r y -"),
    ("G2-item-realtime", "0 ok w x 1\n1 ok.. r z -, w y 1\n2 ok.. r x -, w z 1\n--\n3 ok r y -"),
    ("G2", "0 ok rr x y, w y 1\n1 ok rr x y, w x 1"),
    ("G2-process", "0 ok w x 1\n1 ok.. rr y z, w y 1\n2 ok.. r x -, w z 1\n--\n0 ok r y -"),
    ("G2-realtime", "0 ok w x 1\n1 ok.. rr y z, w y 1\n2 ok.. r x -, w z 1\n--\n3 ok r y -"),
];
