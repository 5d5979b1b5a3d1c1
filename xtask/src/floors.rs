//! The floor plan: each crate uses only what lies below it, so that a lower floor can be read, tested and trusted alone.
//!
//! Rules
//!  F1  A crate of the building uses only crates on lower floors. Two on one floor do not use each other.
//!  F2  `workloads`, `histories` and `checker` stand beside the building and know nothing of it: a judge that shares code
//!      with the accused shares its mistakes. Only `server` and `sim` use both.
//!  F3  `raft` is pure: it uses `types` alone, no seam and no runtime.
//!  F4  A heavy or dangerous dependency has one owner; tests elsewhere may use it.
//!  F5  At most [`DATAFUSION_TESTS_MAX`] test binaries link DataFusion (each is some 230 MB).

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId, TargetKind};

use crate::Stopped;

/// Each costs seconds to link and a quarter of a gigabyte to keep.
const DATAFUSION_TESTS_MAX: usize = 6;

/// The building, from the ground up (F1).
const FLOORS: &[&[&str]] = &[
    &["tenet-types"],
    &["tenet-seam"],
    &["tenet-raft"],
    &["tenet-wal", "tenet-store"],
    &["tenet-shard"],
    &["tenet-catalog"],
    &["tenet-txn"],
    &["tenet-sql"],
    &["tenet-node"],
    &["tenet-front"],
    &["tenet", "tenet-sim"],
];

/// What stands beside it, from the ground up (F2).
const BESIDE: &[&[&str]] = &[&["tenet-histories"], &["tenet-checker"], &["tenet-workloads"]];

/// The crates of the building that may use what stands beside it.
const ROOF: &[&str] = &["tenet", "tenet-sim"];

/// Uses nothing of ours, used by none.
const APART: &str = "xtask";

/// All that a pure crate may use, besides what its tests need (F3).
const PURE: &[(&str, &[&str])] = &[("tenet-raft", &["tenet-types"])];

/// Who may name a dependency (F4).
const OWNERS: &[(&str, &[&str])] = &[
    ("datafusion", &["tenet-sql"]),
    ("sqlparser", &["tenet-sql", "tenet-sim"]), // the simulator only lets it learn the stack's bounds
    ("redb", &["tenet-store"]),
    ("pgwire", &["tenet-front"]),
    ("madsim", &["tenet-sim"]),
    ("rustix", &["tenet", "tenet-sql"]), // the latter only for its features, see there
];

/// What the rules look at in a crate.
struct Crate {
    name: String,
    uses: Vec<String>,
    /// Used by its tests alone. F1 and F2 hold for them too.
    tests_use: Vec<String>,
    /// Its test binaries, if it links DataFusion.
    datafusion_tests: Vec<String>,
}

pub fn floors() -> Result<(), Stopped> {
    let metadata = MetadataCommand::new().exec()?;
    let crates = read(&metadata);
    let complaints = judge(&crates);
    for complaint in &complaints {
        println!("floors: {complaint}");
    }
    if !complaints.is_empty() {
        return Err(format!("{} of the floor plan's rules are broken", complaints.len()).into());
    }
    let tests: usize = crates.iter().map(|each| each.datafusion_tests.len()).sum();
    println!("floors: {} crates in order, {tests} test binaries link DataFusion", crates.len());
    Ok(())
}

fn read(metadata: &Metadata) -> Vec<Crate> {
    let reaches = reaches_datafusion(metadata);
    let read_one = |package: &cargo_metadata::Package| {
        let named = |wanted: &dyn Fn(DependencyKind) -> bool| {
            let named = package.dependencies.iter().filter(|dependency| wanted(dependency.kind));
            named.map(|dependency| dependency.name.clone()).collect()
        };
        let mut datafusion_tests = Vec::new();
        if reaches.contains(&package.id) {
            for target in package.targets.iter().filter(|target| !target.kind.contains(&TargetKind::CustomBuild)) {
                if target.test {
                    datafusion_tests.push(format!("{} {}", package.name, target.name));
                }
                if target.doctest {
                    datafusion_tests
                        .push(format!("{} doctests of {} (doctest = false ends them)", package.name, target.name));
                }
            }
        }
        Crate {
            name: package.name.to_string(),
            uses: named(&|kind| kind != DependencyKind::Development),
            tests_use: named(&|kind| kind == DependencyKind::Development),
            datafusion_tests,
        }
    };
    metadata.workspace_packages().into_iter().map(read_one).collect()
}

/// Every package whose tests would link DataFusion.
fn reaches_datafusion(metadata: &Metadata) -> BTreeSet<PackageId> {
    let nodes = &metadata.resolve.as_ref().expect("asked for with its dependencies").nodes;
    let mut users: BTreeMap<&PackageId, Vec<&PackageId>> = BTreeMap::new();
    for node in nodes {
        for dependency in &node.dependencies {
            users.entry(dependency).or_default().push(&node.id);
        }
    }
    let heavy = metadata.packages.iter().filter(|package| package.name.as_str() == "datafusion");
    let mut reached = BTreeSet::new();
    let mut ahead: Vec<&PackageId> = heavy.map(|package| &package.id).collect();
    while let Some(package) = ahead.pop() {
        if reached.insert(package.clone()) {
            ahead.extend(users.get(package).into_iter().flatten());
        }
    }
    reached
}

fn judge(crates: &[Crate]) -> Vec<String> {
    let mut complaints = Vec::new();
    for user in crates {
        if floor(&user.name).is_none() && user.name != APART {
            complaints.push(format!("{} has no place in the floor plan (xtask/src/floors.rs)", user.name));
            continue;
        }
        for used in user.uses.iter().chain(&user.tests_use) {
            complaints.extend(judge_floor(&user.name, used));
        }
        for used in &user.uses {
            complaints.extend(judge_owner(&user.name, used));
        }
        let pure = PURE.iter().filter(|(pure, _)| *pure == user.name);
        for (_, allowed) in pure {
            for used in user.uses.iter().filter(|used| !allowed.contains(&used.as_str())) {
                complaints.push(format!("{} is pure and may not use {used}", user.name));
            }
        }
    }
    let tests: Vec<&str> = crates.iter().flat_map(|each| &each.datafusion_tests).map(String::as_str).collect();
    if tests.len() > DATAFUSION_TESTS_MAX {
        complaints.push(format!(
            "{} test binaries link DataFusion, at most {DATAFUSION_TESTS_MAX} may: {}",
            tests.len(),
            tests.join(", ")
        ));
    }
    complaints
}

fn judge_owner(user: &str, used: &str) -> Option<String> {
    let (_, owners) = OWNERS.iter().find(|(owned, _)| *owned == used)?;
    if owners.contains(&user) {
        None
    } else {
        Some(format!("{user} uses {used}, which is for {} alone", owners.join(", ")))
    }
}

fn judge_floor(user: &str, used: &str) -> Option<String> {
    if used == APART {
        return Some(format!("{user} uses {used}, which stands apart"));
    }
    // Crates of others are not on the plan.
    let used_place = floor(used)?;
    let Some(user_place) = floor(user) else {
        return Some(format!("{user} uses {used}, but stands apart"));
    };
    let fine = match (user_place, used_place) {
        (Place::Building(user), Place::Building(used)) | (Place::Beside(user), Place::Beside(used)) => used < user,
        (Place::Building(_), Place::Beside(_)) => ROOF.contains(&user),
        (Place::Beside(_), Place::Building(_)) => false,
    };
    if fine { None } else { Some(format!("{user} uses {used}, which is not below it")) }
}

#[derive(Clone, Copy)]
enum Place {
    Building(usize),
    Beside(usize),
}

fn floor(name: &str) -> Option<Place> {
    let on = |floors: &[&[&str]]| floors.iter().position(|floor| floor.contains(&name));
    on(FLOORS).map(Place::Building).or_else(|| on(BESIDE).map(Place::Beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, uses: &[&str], tests_use: &[&str]) -> Vec<String> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        judge(&[Crate { name: name.into(), uses: own(uses), tests_use: own(tests_use), datafusion_tests: Vec::new() }])
    }

    #[test]
    fn uses_go_down_only() {
        assert_eq!(with("tenet-sql", &["tenet-txn", "tenet-types", "datafusion", "tokio"], &["insta"]), [""; 0]);
        assert_eq!(with("tenet-sim", &["tenet-front", "tenet-checker", "madsim"], &[]), [""; 0]);
        assert_eq!(with("tenet-checker", &["tenet-histories"], &[]), [""; 0]);
        let refused: &[(&str, &str)] = &[
            ("tenet-wal", "tenet-store"),     // floor mates
            ("tenet-wal", "tenet-shard"),     // upwards
            ("tenet", "tenet-sim"),           // the two ends of the seam
            ("tenet-sim", "tenet"),           // the same
            ("tenet-checker", "tenet-types"), // the judge knows nothing of the accused
            ("tenet-node", "tenet-workloads"),
            ("tenet-histories", "tenet-checker"),
            ("tenet-raft", "tenet-seam"), // pure
            ("tenet-raft", "tokio"),
            ("tenet-front", "datafusion"), // has an owner
            ("tenet", "madsim"),
            ("xtask", "tenet-types"),
            ("tenet-types", "xtask"),
        ];
        for (user, used) in refused {
            assert_eq!(with(user, &[used], &[]).len(), 1, "{user} uses {used}");
        }
    }

    #[test]
    fn tests_keep_the_floors_too() {
        assert_eq!(with("tenet-raft", &["tenet-types"], &["proptest"]), [""; 0]);
        assert_eq!(with("tenet-store", &[], &["tenet-shard"]).len(), 1);
        assert_eq!(with("tenet-sim", &[], &["redb"]), [""; 0], "tests may look inside");
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(with("tenet-columnar", &[], &[]).len(), 1);
    }

    #[test]
    fn test_binaries_that_link_datafusion_are_counted() {
        let linking = |count: usize| Crate {
            name: "tenet-sql".into(),
            uses: Vec::new(),
            tests_use: Vec::new(),
            datafusion_tests: (0..count).map(|each| format!("test {each}")).collect(),
        };
        assert_eq!(judge(&[linking(DATAFUSION_TESTS_MAX)]), [""; 0]);
        assert_eq!(judge(&[linking(DATAFUSION_TESTS_MAX), linking(1)]).len(), 1);
    }

    /// What the rules look at is really there to be seen.
    #[test]
    fn the_workspace_is_read() {
        let metadata = MetadataCommand::new().other_options(["--offline".to_owned()]).exec().unwrap();
        let crates = read(&metadata);
        let named = |name: &str| crates.iter().find(|each| each.name == name).unwrap();
        assert!(named("tenet-front").uses.contains(&"tenet-sql".to_owned()));
        assert!(named("tenet-raft").tests_use.contains(&"proptest".to_owned()));
        assert!(!named("tenet-front").datafusion_tests.is_empty(), "it links DataFusion through tenet-sql");
        assert!(named("tenet-raft").datafusion_tests.is_empty());
    }
}
