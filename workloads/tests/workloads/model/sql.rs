//! Just the SQL that the workloads speak.

use tenet_workloads::{Cell, Param};

pub enum Statement {
    Create { table: String, columns: Vec<String>, key: Vec<usize> },
    Insert { table: String, columns: Vec<String>, values: Vec<Cell>, or_nothing: bool },
    Select { table: String, columns: Vec<String>, filter: Vec<(String, Cell)> },
    Update { table: String, column: String, value: Expression, filter: Vec<(String, Cell)> },
    Delete { table: String, filter: Vec<(String, Cell)> },
}

impl Statement {
    pub fn table(&self) -> &str {
        match self {
            Statement::Create { table, .. }
            | Statement::Insert { table, .. }
            | Statement::Select { table, .. }
            | Statement::Update { table, .. }
            | Statement::Delete { table, .. } => table,
        }
    }

    /// The same in a database whose tables have this prefix.
    pub fn within(mut self, prefix: &str) -> Statement {
        match &mut self {
            Statement::Create { table, .. }
            | Statement::Insert { table, .. }
            | Statement::Select { table, .. }
            | Statement::Update { table, .. }
            | Statement::Delete { table, .. } => table.insert_str(0, prefix),
        }
        self
    }
}

#[derive(Debug)]
pub enum Expression {
    Value(Cell),
    /// The column's value, and more.
    Add(Cell),
    Concatenate(Cell),
}

/// Panics at anything else.
pub fn parse(sql: &str, params: &[Param]) -> Statement {
    let spaced = sql.replace("count(*)", "count").replace('(', " ( ").replace(')', " ) ").replace(',', " , ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let param = |word: &str| -> Cell {
        let number: usize = word.strip_prefix('$').expect("a parameter").parse().expect("its number");
        params[number - 1].clone()
    };
    let filter = |words: &[&str]| -> Vec<(String, Cell)> {
        match words {
            [] => Vec::new(),
            ["WHERE", terms @ ..] => terms
                .chunks(4)
                .map(|term| match term {
                    [column, "=", value] | [column, "=", value, "AND"] => (column.to_string(), param(value)),
                    _ => panic!("no such condition: {sql}"),
                })
                .collect(),
            _ => panic!("no such end: {sql}"),
        }
    };
    let list = |words: &[&str]| -> Vec<String> {
        words.iter().filter(|word| **word != ",").map(|word| word.to_string()).collect()
    };
    match &words[..] {
        ["CREATE", "TABLE", "IF", "NOT", "EXISTS", table, "(", definition @ .., ")"] => {
            let (mut columns, mut key) = (Vec::new(), Vec::new());
            let mut rest = definition;
            while let Some(first) = rest.first() {
                if let ["PRIMARY", "KEY", "(", names @ .., ")"] = rest {
                    key = list(names).iter().map(|name| columns.iter().position(|c| c == name).unwrap()).collect();
                    break;
                }
                let end = rest.iter().position(|word| *word == ",").unwrap_or(rest.len());
                if rest[..end].ends_with(&["PRIMARY", "KEY"]) {
                    key.push(columns.len());
                }
                columns.push(first.to_string());
                rest = &rest[(end + 1).min(rest.len())..];
            }
            Statement::Create { table: table.to_string(), columns, key }
        }
        ["INSERT", "INTO", table, "(", rest @ ..] => {
            let end = rest.iter().position(|word| *word == ")").unwrap();
            let ["VALUES", "(", values @ ..] = &rest[end + 1..] else { panic!("no values: {sql}") };
            let values_end = values.iter().position(|word| *word == ")").unwrap();
            let or_nothing = match &values[values_end + 1..] {
                [] => false,
                ["ON", "CONFLICT", "DO", "NOTHING"] => true,
                _ => panic!("no such end: {sql}"),
            };
            Statement::Insert {
                table: table.to_string(),
                columns: list(&rest[..end]),
                values: list(&values[..values_end]).iter().map(|word| param(word)).collect(),
                or_nothing,
            }
        }
        ["SELECT", "count", "FROM", table, rest @ ..] => {
            Statement::Select { table: table.to_string(), columns: vec!["count(*)".to_string()], filter: filter(rest) }
        }
        ["SELECT", rest @ ..] => {
            let end = rest.iter().position(|word| *word == "FROM").unwrap();
            Statement::Select {
                table: rest[end + 1].to_string(),
                columns: list(&rest[..end]),
                filter: filter(&rest[end + 2..]),
            }
        }
        ["UPDATE", table, "SET", column, "=", rest @ ..] => {
            let end = rest.iter().position(|word| *word == "WHERE").unwrap();
            let value = match &rest[..end] {
                [value] => Expression::Value(param(value)),
                [same, "+", value] if same == column => Expression::Add(param(value)),
                [same, "||", value] if same == column => Expression::Concatenate(param(value)),
                _ => panic!("no such expression: {sql}"),
            };
            let filter = filter(&rest[end..]);
            Statement::Update { table: table.to_string(), column: column.to_string(), value, filter }
        }
        ["DELETE", "FROM", table, rest @ ..] => Statement::Delete { table: table.to_string(), filter: filter(rest) },
        _ => panic!("no such statement: {sql}"),
    }
}
