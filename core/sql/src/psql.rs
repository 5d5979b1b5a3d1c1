//! What psql asks of the system catalogs for `\l`, `\dt`, `\di`, `\dn`, `\d`, `\d name` and the Tab key, and the answers, from our own
//! catalog.
//!
//! There are no system tables here. psql's commands are a fixed set of queries per psql version, each with a few holes: an
//! oid that an earlier answer gave, a name pattern, a list of kinds, what was typed before Tab. `psql/queries/` holds them, one file per form, named
//! by the first version that sends it to a server of version 16; a statement is compared token by token, so that only those very
//! queries are answered and nothing that merely resembles one. Everything else that names a catalog relation gets 0A000 with
//! the relation's name ([`catalog_relation`]), never an empty result that would be a lie.
//!
//! Invariants
//!  Q1  A query is answered only if every token of it is accounted for.
//!  Q2  Oids are functions of table ids alone: what one query of `\d` gave, the next understands.
//!
//! The `+` forms say less than they ask for: sizes are not known and nothing can be described, so both are NULL.
//!
//! Absent: roles, views' and sequences' `+` forms; completion of roles, functions, types and of a
//! setting's values; patterns with more than psql's `*` and `?`.

mod answer;
mod complete;
mod pattern;
mod tokens;

use std::sync::OnceLock;

use tenet_catalog::TableDescriptor;
use tenet_types::{TableId, Value};

use crate::Column;
use complete::Names;
use pattern::Pattern;
use tokens::{Token, tokenize};

/// The first oid that Postgres gives to a user's object. A table has an even one, its primary key's index the next.
const FIRST_OID: u64 = 16_384;
/// Schemas that hold what we do not have.
const CATALOG_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// One of psql's queries, with what stood in its holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogQuery {
    form: Form,
    detail: Detail,
    filled: Filled,
}

/// What the answers are made of.
pub struct View {
    /// Names of all databases, in any order.
    pub databases: Vec<String>,
    /// Tables of the connected one, in any order.
    pub tables: Vec<TableDescriptor>,
}

pub struct Answer {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Databases14,
    Databases15,
    Databases16,
    Databases17,
    Relations,
    Indexes,
    Schemas,
    SchemaPublications,
    /// psql 15 and later: names as they are.
    Complete(Names),
    /// psql 14: names as one writes them in SQL.
    CompleteQuoted(Names),
    DescribeFind,
    DescribeRelation,
    DescribeColumns,
    DescribeIndexes,
    DescribeIndexes18,
    DescribePolicies,
    DescribeStatistics,
    DescribePublications14,
    DescribePublications15,
    DescribeParents,
    DescribeChildren,
    DescribeIndexColumns,
    DescribeIndex14,
    DescribeIndex15,
}

/// Whether the command had a `+`: more columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Plain,
    Plus,
}

/// What stood in the holes of a query. A hole that is there twice is filled the same at both places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Filled {
    oid: Option<u32>,
    /// `{kinds}` and `{of_kinds}`: letters of `pg_class.relkind`. None at all are all.
    kinds: Option<Vec<String>>,
    /// From `{relations}` or `{databases}`.
    name: Option<Pattern>,
    schema: Option<Pattern>,
    /// `{like}` and `{start}`: what the names begin with.
    typed: Option<String>,
    /// `{length}` of it, in characters.
    length: Option<usize>,
    /// `{relation}`: its columns are asked for.
    relation: Option<String>,
    /// `{schema}`: it is in there.
    in_schema: Option<String>,
    limit: Option<usize>,
}

macro_rules! query {
    ($form:ident, $file:literal) => {
        (Form::$form, Detail::Plain, include_str!(concat!("psql/queries/", $file, ".sql")))
    };
    ($form:ident +, $file:literal) => {
        (Form::$form, Detail::Plus, include_str!(concat!("psql/queries/", $file, ".sql")))
    };
    ($form:ident($names:ident), $file:literal) => {
        (Form::$form(Names::$names), Detail::Plain, include_str!(concat!("psql/queries/complete_", $file, ".sql")))
    };
}

const QUERIES: [(Form, Detail, &str); 53] = [
    query!(Databases14, "databases_14"),
    query!(Databases15, "databases_15"),
    query!(Databases16, "databases_16"),
    query!(Databases17, "databases_17"),
    query!(Relations, "relations_14"),
    query!(Relations, "relations_14_no_am"),
    query!(Relations, "relations_15"),
    query!(Relations, "relations_15_no_am"),
    query!(Indexes, "indexes_14"),
    query!(Indexes, "indexes_15"),
    query!(Schemas, "schemas"),
    query!(Schemas+, "schemas_plus"),
    query!(SchemaPublications, "schema_publications"),
    query!(Databases14+, "databases_plus_14"),
    query!(Databases15+, "databases_plus_15"),
    query!(Databases16+, "databases_plus_16"),
    query!(Databases17+, "databases_plus_17"),
    query!(Relations+, "relations_plus_14"),
    query!(Relations+, "relations_plus_15"),
    query!(Indexes+, "indexes_plus_14"),
    query!(Indexes+, "indexes_plus_15"),
    query!(DescribeRelation+, "describe_relation_plus"),
    query!(DescribeColumns+, "describe_columns_plus"),
    query!(DescribeIndexColumns+, "describe_index_columns_plus"),
    query!(Complete(Relations), "relations"),
    query!(Complete(RelationsInSchema), "relations_in_schema"),
    query!(Complete(Columns), "columns"),
    query!(Complete(Columns), "columns_in_schema"),
    query!(Complete(Databases), "databases"),
    query!(Complete(Schemas), "schemas"),
    query!(Complete(SettingsToSet), "settings_to_set"),
    query!(Complete(SettingsToShow), "settings_to_show"),
    query!(CompleteQuoted(Relations), "relations_14"),
    query!(CompleteQuoted(Columns), "columns_14"),
    query!(CompleteQuoted(Columns), "columns_in_schema_14"),
    query!(CompleteQuoted(Databases), "databases_14"),
    query!(CompleteQuoted(Schemas), "schemas_14"),
    query!(CompleteQuoted(SettingsToSet), "settings_to_set_14"),
    query!(CompleteQuoted(SettingsToShow), "settings_to_show_14"),
    query!(DescribeFind, "describe_find"),
    query!(DescribeRelation, "describe_relation"),
    query!(DescribeColumns, "describe_columns"),
    query!(DescribeIndexes, "describe_indexes"),
    query!(DescribeIndexes18, "describe_indexes_18"),
    query!(DescribePolicies, "describe_policies"),
    query!(DescribeStatistics, "describe_statistics"),
    query!(DescribePublications14, "describe_publications_14"),
    query!(DescribePublications15, "describe_publications_15"),
    query!(DescribeParents, "describe_parents"),
    query!(DescribeChildren, "describe_children"),
    query!(DescribeIndexColumns, "describe_index_columns"),
    query!(DescribeIndex14, "describe_index_14"),
    query!(DescribeIndex15, "describe_index_15"),
];

/// The query, if it is one that psql sends. Costs one search of the text for any other statement.
pub fn recognise(sql: &str) -> Option<CatalogQuery> {
    if !sql.contains("pg_catalog.") {
        return None;
    }
    static TEMPLATES: OnceLock<Vec<(Form, Detail, Vec<Token>)>> = OnceLock::new();
    let templates = TEMPLATES.get_or_init(|| {
        let compile = |(form, detail, text): &(Form, Detail, &str)| {
            (*form, *detail, tokenize(text).expect("our own queries, all tested"))
        };
        QUERIES.iter().map(compile).collect()
    });
    let mut statement = tokenize(sql)?;
    while statement.last() == Some(&Token::Symbol(';')) {
        statement.pop();
    }
    templates.iter().find_map(|(form, detail, template)| {
        Some(CatalogQuery { form: *form, detail: *detail, filled: fill(template, &statement)? })
    })
}

/// The relation of a system schema that the statement names, as it names it: `pg_catalog.pg_class`, `pg_roles`.
pub fn catalog_relation(sql: &str) -> Option<String> {
    let tokens = tokenize(sql)?;
    let schema_at = |at: usize| match &tokens[at] {
        Token::Word(word) => CATALOG_SCHEMAS.iter().find(|s| *s == word).copied(),
        Token::Text(_) | Token::Number(_) | Token::Symbol(_) | Token::Hole(_) => None,
    };
    let is_call = |at: usize| tokens.get(at + 1) == Some(&Token::Symbol('('));
    let qualified = (0..tokens.len()).find_map(|at| match (schema_at(at)?, tokens.get(at + 1), tokens.get(at + 2)) {
        // `x::pg_catalog.text` names a type, `OPERATOR(pg_catalog.~)` an operator, `pg_catalog.f(…)` a function.
        (schema, Some(Token::Symbol('.')), Some(Token::Word(relation)))
            if !is_call(at + 2) && starts_relation(&tokens, at) =>
        {
            Some(format!("{schema}.{relation}"))
        }
        _ => None,
    });
    qualified.or_else(|| {
        (0..tokens.len()).find_map(|at| match &tokens[at] {
            Token::Word(word) if word.starts_with("pg_") && !is_call(at) && starts_relation(&tokens, at) => {
                Some(word.clone())
            }
            _ => None,
        })
    })
}

/// The oid that stands for a table in `RowDescription` and in psql's queries.
pub fn table_oid(table: TableId) -> u32 {
    u32::try_from(FIRST_OID.saturating_add(table.0.saturating_mul(2))).unwrap_or(u32::MAX - 1)
}

/// The oid of a table's primary key index.
pub fn index_oid(table: TableId) -> u32 {
    table_oid(table) + 1
}

impl CatalogQuery {
    /// Must [`View::databases`] be filled?
    pub fn needs_databases(&self) -> bool {
        matches!(
            self.form,
            Form::Databases14
                | Form::Databases15
                | Form::Databases16
                | Form::Databases17
                | Form::Complete(Names::Databases)
                | Form::CompleteQuoted(Names::Databases)
        )
    }

    /// The columns alone, as Describe wants them.
    pub fn columns(&self) -> Vec<Column> {
        answer::columns(self.form, self.detail)
    }

    pub fn answer(&self, view: &View) -> Answer {
        Answer { columns: self.columns(), rows: answer::rows(self.form, self.detail, &self.filled, view) }
    }
}

/// Does a word at this place begin a table's name? After FROM or JOIN, or after a comma of a FROM list.
fn starts_relation(tokens: &[Token], at: usize) -> bool {
    let mut before = tokens[..at].iter().rev();
    match before.next() {
        Some(Token::Word(word)) => matches!(word.as_str(), "from" | "join" | "only" | "into" | "update" | "table"),
        Some(Token::Symbol(',')) => before
            .find_map(|t| match t {
                Token::Word(word) if word == "from" => Some(true),
                Token::Word(word) if matches!(word.as_str(), "select" | "where" | "by" | "on" | "values") => {
                    Some(false)
                }
                _ => None,
            })
            .unwrap_or(false),
        _ => false,
    }
}

/// Compares token by token. A hole takes what it knows how to take; nothing may be left over (Q1).
fn fill(template: &[Token], statement: &[Token]) -> Option<Filled> {
    let mut filled = Filled::default();
    let mut rest = statement;
    for expected in template {
        rest = match expected {
            Token::Hole(hole) => match hole.as_str() {
                "oid" => take_text(rest, &mut filled.oid, |text| text.parse().ok())?,
                "kinds" => take_kinds(rest, &mut filled.kinds)?,
                "of_kinds" => take_of_kinds(rest, &mut filled.kinds)?,
                "relations" => take_relations(rest, &mut filled)?,
                "databases" => take_databases(rest, &mut filled)?,
                "schemas" => take_schemas(rest, &mut filled)?,
                "like" => take_text(rest, &mut filled.typed, complete::typed)?,
                "start" => take_text(rest, &mut filled.typed, |text| Some(text.to_owned()))?,
                "length" => take_number(rest, &mut filled.length)?,
                "limit" => take_number(rest, &mut filled.limit)?,
                "relation" => take_text(rest, &mut filled.relation, |text| Some(text.to_owned()))?,
                "schema" => take_text(rest, &mut filled.in_schema, |text| Some(text.to_owned()))?,
                "no_system_relations" => take_if_there(
                    rest,
                    "AND c.relnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')",
                )?,
                "no_system_schemas" => take_if_there(rest, r"AND n.nspname NOT LIKE E'pg\\_%'")?,
                "no_passing_schemas" => {
                    take_if_there(rest, r"AND nspname NOT LIKE E'pg\\_toast%' AND nspname NOT LIKE E'pg\\_temp%'")?
                }
                other => panic!("no such hole in our own queries: {other}"),
            },
            same => rest.split_first().filter(|(first, _)| *first == same)?.1,
        };
    }
    let measured =
        filled.length.is_none_or(|length| filled.typed.as_ref().is_some_and(|t| t.chars().count() == length));
    (rest.is_empty() && measured).then_some(filled)
}

/// Fills a hole, unless it was filled with something else.
fn put<T: PartialEq>(slot: &mut Option<T>, value: T) -> Option<()> {
    let same = slot.as_ref().is_none_or(|before| *before == value);
    same.then(|| *slot = Some(value))
}

fn take_text<'a, T: PartialEq>(
    tokens: &'a [Token],
    slot: &mut Option<T>,
    read: impl Fn(&str) -> Option<T>,
) -> Option<&'a [Token]> {
    let (Token::Text(text), rest) = tokens.split_first()? else { return None };
    put(slot, read(text)?)?;
    Some(rest)
}

fn take_number<'a>(tokens: &'a [Token], slot: &mut Option<usize>) -> Option<&'a [Token]> {
    let (Token::Number(number), rest) = tokens.split_first()? else { return None };
    put(slot, number.parse().ok()?)?;
    Some(rest)
}

/// `('r','p','')`.
fn take_kinds<'a>(tokens: &'a [Token], slot: &mut Option<Vec<String>>) -> Option<&'a [Token]> {
    let mut rest = take(tokens, &[Token::Symbol('(')])?;
    let mut kinds = Vec::new();
    loop {
        let (Token::Text(kind), after) = rest.split_first()? else { return None };
        kinds.push(kind.clone());
        match after.split_first()? {
            (Token::Symbol(','), after) => rest = after,
            (Token::Symbol(')'), after) => {
                put(slot, kinds)?;
                return Some(after);
            }
            _ => return None,
        }
    }
}

/// `c.relkind IN ('r', 'p') AND`, or nothing.
fn take_of_kinds<'a>(tokens: &'a [Token], slot: &mut Option<Vec<String>>) -> Option<&'a [Token]> {
    match take(tokens, &tokenize("c.relkind IN")?) {
        Some(rest) => take(take_kinds(rest, slot)?, &tokenize("AND")?),
        None => put(slot, Vec::new()).map(|()| tokens),
    }
}

/// A condition that excludes nothing of ours: it is there or not.
fn take_if_there<'a>(tokens: &'a [Token], condition: &str) -> Option<&'a [Token]> {
    Some(take(tokens, &tokenize(condition)?).unwrap_or(tokens))
}

/// Conditions on schema and name, each after WHERE or AND; none at all is everything.
fn take_relations<'a>(mut tokens: &'a [Token], filled: &mut Filled) -> Option<&'a [Token]> {
    // None of these excludes anything of ours: every table is in `public`, which is not a system schema and is on the path.
    const ALWAYS_TRUE: [&str; 4] = [
        "n.nspname <> 'pg_catalog'",
        "n.nspname !~ '^pg_toast'",
        "n.nspname <> 'information_schema'",
        "pg_catalog.pg_table_is_visible(c.oid)",
    ];
    while let Some((Token::Word(word), rest)) = tokens.split_first()
        && (word == "where" || word == "and")
    {
        let trivial = ALWAYS_TRUE.iter().find_map(|condition| take(rest, &tokenize(condition)?));
        tokens = match trivial {
            Some(rest) => rest,
            None => take_pattern(rest, "c.relname", &mut filled.name)
                .or_else(|| take_pattern(rest, "n.nspname", &mut filled.schema))?,
        };
    }
    Some(tokens)
}

fn take_databases<'a>(tokens: &'a [Token], filled: &mut Filled) -> Option<&'a [Token]> {
    match tokens.split_first() {
        Some((Token::Word(word), rest)) if word == "where" => take_pattern(rest, "d.datname", &mut filled.name),
        _ => Some(tokens),
    }
}

/// All, those that are not the system's, or a pattern.
fn take_schemas<'a>(tokens: &'a [Token], filled: &mut Filled) -> Option<&'a [Token]> {
    let own = take(tokens, &tokenize("WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'")?);
    match (own, tokens.split_first()) {
        (Some(rest), _) => Some(rest),
        (None, Some((Token::Word(word), rest))) if word == "where" => {
            take_pattern(rest, "n.nspname", &mut filled.schema)
        }
        (None, _) => Some(tokens),
    }
}

/// `c.relname OPERATOR(pg_catalog.~) '^(acc.*)$' COLLATE pg_catalog.default`.
fn take_pattern<'a>(tokens: &'a [Token], column: &str, slot: &mut Option<Pattern>) -> Option<&'a [Token]> {
    let rest = take(tokens, &tokenize(&format!("{column} OPERATOR(pg_catalog.~)"))?)?;
    let (Token::Text(regex), rest) = rest.split_first()? else { return None };
    let rest = take(rest, &tokenize("COLLATE pg_catalog.default")?)?;
    (slot.is_none()).then(|| Pattern::parse(regex))?.map(|pattern| *slot = Some(pattern))?;
    Some(rest)
}

fn take<'a>(tokens: &'a [Token], expected: &[Token]) -> Option<&'a [Token]> {
    tokens.strip_prefix(expected)
}

#[cfg(test)]
mod tests;
