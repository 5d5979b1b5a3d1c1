//! Sessions over shards in memory: golden scripts, and properties of the evaluator.
//!
//! A script (`core/sql/scripts`) is a list of query strings, parted by empty lines, and of commands that begin with a backslash;
//! what each answers is in the snapshot of the same name.

mod bounds;
mod equal;
mod evaluator;
mod fakes;
mod generated;
#[path = "../../txn/tests/memory/mod.rs"]
mod memory;
mod script;
mod values;

use script::Script;

/// One test per script.
macro_rules! scripts {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let output = Script::default().run(include_str!(concat!("../scripts/", stringify!($name), ".sql")));
                insta::assert_snapshot!(stringify!($name), output);
            }
        )*
    };
}

scripts! {
    analytic,
    catalog_changes_under_sessions,
    commit_outcomes,
    create_table,
    databases,
    delete,
    explain,
    expressions,
    insert,
    parse_errors,
    prepared,
    psql_catalog,
    requests,
    select_by_key,
    select_by_scan,
    settings,
    transactions,
    unsupported,
    update,
}
