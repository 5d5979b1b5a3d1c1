//! What psql 14 to 17 send (`core/sql/psql/VERSIONS/COMMAND.sql`, where `15-17` stands for three that send the same), replayed; and
//! what must not be taken for it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use tenet_catalog::{ColumnDescriptor, NO_MODIFIER, TableDescriptor, UNBOUNDED_VARCHAR};
use tenet_types::{ColumnId, SchemaVersion, SqlType, TableId, Value};

use super::tokens::{Token, tokenize};
use super::{View, catalog_relation, index_oid, recognise, table_oid};

/// Oids in the fixtures, and the test's tables they stand for.
const ACCOUNTS_OID: &str = "'16388'";
const ACCOUNTS_INDEX_OID: &str = "'16396'";
const PAIRS_OID: &str = "'16398'";

fn view() -> View {
    let column = |id: u32, name: &str, sql_type: SqlType, type_modifier: i32, not_null: bool, default: Option<&str>| {
        ColumnDescriptor {
            id: ColumnId(id),
            name: name.to_owned(),
            sql_type,
            type_modifier,
            not_null,
            default: default.map(str::to_owned),
        }
    };
    let accounts = TableDescriptor {
        id: TableId(100),
        name: "accounts".to_owned(),
        schema: SchemaVersion(1),
        columns: vec![
            column(1, "id", SqlType::Int8, NO_MODIFIER, false, None),
            column(2, "owner", SqlType::Text, 24, true, None),
            column(3, "note", SqlType::Text, UNBOUNDED_VARCHAR, false, None),
            column(4, "balance", SqlType::Float8, NO_MODIFIER, false, Some("0.5")),
            column(5, "open", SqlType::Bool, NO_MODIFIER, true, Some("true")),
            column(6, "at", SqlType::Timestamptz, NO_MODIFIER, false, Some("now()")),
        ],
        primary_key: vec![ColumnId(1)],
        primary_key_name: "accounts_pkey".to_owned(),
    };
    let pairs = TableDescriptor {
        id: TableId(107),
        name: "pairs".to_owned(),
        schema: SchemaVersion(1),
        columns: vec![
            column(1, "a", SqlType::Int4, NO_MODIFIER, true, None),
            column(2, "B", SqlType::Text, NO_MODIFIER, true, None),
            column(3, "c", SqlType::Int2, NO_MODIFIER, true, None),
        ],
        primary_key: vec![ColumnId(2), ColumnId(1)],
        primary_key_name: "pairs_pkey".to_owned(),
    };
    View { databases: vec!["postgres".to_owned(), "acme".to_owned()], tables: vec![pairs, accounts] }
}

fn fixtures() -> BTreeMap<String, Vec<String>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("psql");
    let mut all = BTreeMap::new();
    for versions in std::fs::read_dir(&root).unwrap() {
        let versions = versions.unwrap().path();
        for file in std::fs::read_dir(&versions).unwrap() {
            let path = file.unwrap().path();
            let (_, queries) = std::fs::read_to_string(&path)
                .map(|text| {
                    let mut parts = text.split("-- query\n").map(str::to_owned);
                    (parts.next(), parts.collect::<Vec<_>>())
                })
                .unwrap();
            let of = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
            let folder = of(&versions);
            let (first, last) = folder.split_once('-').unwrap_or((&folder, &folder));
            let number = |version: &str| version.parse::<u32>().unwrap();
            for version in number(first)..=number(last) {
                let known = all.insert(format!("{version} {}", of(&path)), queries.clone());
                assert!(known.is_none(), "{version} {} stands twice", of(&path));
            }
        }
    }
    all
}

/// The keys pressed, which stand above a query if it is one of several of a file, and the query.
fn split_keys(sql: &str) -> (Option<&str>, &str) {
    match sql.split_once('\n') {
        Some((keys, query)) if keys.starts_with("-- ") => (Some(keys), query),
        _ => (None, sql),
    }
}

/// The answers, one line per row, after the oids of the recording are replaced by ours.
fn replay(queries: &[String]) -> String {
    let view = view();
    let ours = |sql: &str| {
        sql.replace(ACCOUNTS_OID, &format!("'{}'", table_oid(TableId(100))))
            .replace(ACCOUNTS_INDEX_OID, &format!("'{}'", index_oid(TableId(100))))
            .replace(PAIRS_OID, &format!("'{}'", table_oid(TableId(107))))
    };
    let mut out = String::new();
    for sql in queries {
        if let (Some(keys), _) = split_keys(sql) {
            writeln!(out, "{keys}").unwrap();
        }
        let query = recognise(&ours(sql)).unwrap_or_else(|| panic!("not recognised: {sql}"));
        let answer = query.answer(&view);
        let names: Vec<&str> = answer.columns.iter().map(|c| c.name.as_str()).collect();
        writeln!(out, "{}", names.join(" | ")).unwrap();
        for row in answer.rows {
            assert_eq!(row.len(), answer.columns.len());
            let cell = |(value, column): (&Value, &crate::Column)| {
                assert!(value.is_null() || value.sql_type() == Some(column.sql_type), "{}: {value:?}", column.name);
                let mut text = String::new();
                value.write_text(Default::default(), &mut text).unwrap();
                if value.is_null() { "∅".to_owned() } else { text }
            };
            let cells: Vec<String> = row.iter().zip(&answer.columns).map(cell).collect();
            writeln!(out, "  {}", cells.join(" | ")).unwrap();
        }
    }
    out
}

#[test]
fn psql_queries_are_answered() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 4 * 27, "four versions, twenty-seven commands each");
    // Versions differ in what they ask; where the answer is the same, it is shown once.
    let mut by_command: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (name, queries) in &fixtures {
        let (version, command) = name.split_once(' ').unwrap();
        let answers = by_command.entry(command.to_owned()).or_default();
        answers.entry(replay(queries)).or_default().push(version.to_owned());
    }
    let mut out = String::new();
    for (command, answers) in by_command {
        for (answer, versions) in answers {
            writeln!(out, "== {command} (psql {})\n{answer}", versions.join(", ")).unwrap();
        }
    }
    insta::assert_snapshot!(out);
}

#[test]
fn what_psql_found_is_what_it_describes() {
    let view = view();
    for name in ["accounts", "pairs", "accounts_pkey"] {
        let find = format!(
            "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON \
             n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^({name})$' COLLATE pg_catalog.default \
             AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3"
        );
        let found = recognise(&find).unwrap().answer(&view);
        let [Value::Int8(oid), _, _] = found.rows[0][..] else { panic!("{:?}", found.rows) };
        let describe = include_str!("queries/describe_relation.sql").replace("{oid}", &format!("'{oid}'"));
        assert_eq!(recognise(&describe).unwrap().answer(&view).rows.len(), 1, "{name}");
    }
}

#[test]
fn nearly_the_same_query_is_not_recognised() {
    for (name, queries) in fixtures() {
        for sql in queries {
            let sql = split_keys(&sql).1.trim_end();
            let body = sql.strip_suffix(';').unwrap_or(sql);
            for changed in [
                format!("{body} LIMIT 1"),
                format!("EXPLAIN {body}"),
                body.replacen("pg_catalog.pg_", "pg_catalog.my_", 1),
                body.replacen("ORDER BY", "GROUP BY", 1).replacen("WHERE", "HAVING", 1),
                body.rsplit_once(char::is_whitespace).unwrap().0.to_owned(),
            ] {
                assert_eq!(recognise(&changed), None, "{name}: {changed}");
            }
        }
    }
}

#[test]
fn one_query_speaks_of_one_table() {
    let sql = include_str!("queries/describe_publications_15.sql");
    assert!(recognise(&sql.replace("{oid}", "'16384'")).is_some());
    assert_eq!(recognise(&sql.replacen("{oid}", "'16386'", 1).replace("{oid}", "'16384'")), None);
    assert_eq!(recognise(&sql.replace("{oid}", "'many'")), None);
}

/// Both LIKE patterns are of one word, and a word is as long as psql says.
#[test]
fn one_completion_is_of_one_word() {
    let sql = include_str!("queries/complete_relations.sql").replace("{limit}", "1000");
    let sql =
        ["{of_kinds}", "{no_system_relations}", "{no_system_schemas}"].iter().fold(sql, |s, hole| s.replace(hole, ""));
    assert!(recognise(&sql.replace("{like}", "'a%'")).is_some());
    assert_eq!(recognise(&sql.replacen("{like}", "'a%'", 1).replace("{like}", "'b%'")), None);
    for odd in ["'a'", "'%a%'", "'a_%'", "'a\\%'"] {
        assert_eq!(recognise(&sql.replace("{like}", odd)), None, "{odd}");
    }
    let sql = include_str!("queries/complete_databases_14.sql").replace("{limit}", "10").replace("{start}", "'ä'");
    assert!(recognise(&sql.replace("{length}", "1")).is_some());
    assert_eq!(recognise(&sql.replace("{length}", "2")), None);
}

#[test]
fn completions_stop_at_the_limit() {
    let sql = include_str!("queries/complete_databases.sql").replace("{like}", "'%'").replace("{limit}", "1");
    assert_eq!(recognise(&sql).unwrap().answer(&view()).rows, [[Value::Text("acme".to_owned())]]);
}

#[test]
fn patterns_match_as_in_psql() {
    let matching = |regex: &str, names: &[&str]| {
        let pattern = super::pattern::Pattern::parse(regex)?;
        Some(names.iter().filter(|n| pattern.matches(n)).map(|n| (*n).to_owned()).collect::<Vec<String>>())
    };
    let names = ["a", "ab", "abc", "a.b", "a$b", "äb", ""];
    let check = |regex: &str, expected: &[&str]| {
        assert_eq!(matching(regex, &names).unwrap(), expected, "{regex}");
    };
    check("^(a.*)$", &["a", "ab", "abc", "a.b", "a$b"]);
    check("^(.*b)$", &["ab", "a.b", "a$b", "äb"]);
    check("^(.b)$", &["ab", "äb"]);
    check("^(a\\.b)$", &["a.b"]);
    check("^(a\\$b)$", &["a$b"]);
    check("^(.*.*c.*)$", &["abc"]);
    check("^()$", &[""]);
    for refused in ["^(a|b)$", "^(a+)$", "^([ab])$", "a.*", "^(a", "^(a\\d)$", "^(a\\)$", "^(*)$"] {
        assert_eq!(matching(refused, &names), None, "{refused}");
    }
}

#[test]
fn catalog_relations_are_named() {
    let named = |sql: &str| catalog_relation(sql).unwrap_or_default();
    for (sql, relation) in [
        ("SELECT * FROM pg_catalog.pg_class", "pg_catalog.pg_class"),
        ("select 1 from PG_CATALOG . pg_roles r", "pg_catalog.pg_roles"),
        ("SELECT * FROM information_schema.tables", "information_schema.tables"),
        ("SELECT * FROM pg_stat_activity", "pg_stat_activity"),
        ("SELECT * FROM t JOIN pg_type ON true", "pg_type"),
        ("SELECT * FROM t, pg_type", "pg_type"),
        ("SELECT pg_catalog.version()", ""),
        ("SELECT x::pg_catalog.text FROM t", ""),
        ("SELECT 'FROM pg_catalog.pg_class'", ""),
        ("SELECT 1 -- FROM pg_class", ""),
        ("SELECT pg_size, t.pg_size FROM t", ""),
        ("SELECT * FROM t WHERE a OPERATOR(pg_catalog.=) 1", ""),
        ("SELECT 'unterminated FROM pg_class", ""),
    ] {
        assert_eq!(named(sql), relation, "{sql}");
    }
}

#[test]
fn tokens() {
    let word = |w: &str| Token::Word(w.to_owned());
    let text = |t: &str| Token::Text(t.to_owned());
    let symbol = Token::Symbol;
    assert_eq!(
        tokenize("Select \"A\"\"b\"<>'it''s' E'\\\\.\\n' /* x */ 1.5--z\n::t").unwrap(),
        [
            word("select"),
            word("A\"b"),
            symbol('<'),
            symbol('>'),
            text("it's"),
            text("\\.\n"),
            Token::Number("1".to_owned()),
            symbol('.'),
            Token::Number("5".to_owned()),
            symbol(':'),
            symbol(':'),
            word("t")
        ]
    );
    for broken in ["'a", "\"a", "/* a", "E'\\x'", "E'\\"] {
        assert_eq!(tokenize(broken), None, "{broken}");
    }
}
