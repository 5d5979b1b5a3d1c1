//! EXPLAIN: a plan as lines of text.

use tenet_catalog::TableDescriptor;
use tenet_types::Value;

use crate::analytic;
use crate::exec::Run;
use crate::plan::{InsertSource, KeyPlan, OrderSource, Plan, Planned, RowSource, ScanPlan};
use crate::scalar::{Arithmetic, Comparison, Fact, Function, Scalar};
use crate::session::Failure;
use crate::text::{self, Formats};

pub(crate) async fn lines(planned: &Planned, run: Run<'_>) -> Result<Vec<String>, Failure> {
    let mut out = Vec::new();
    match &planned.plan {
        Plan::Select(plan) => {
            let mut depth = 0;
            if plan.limit.is_some() || plan.offset.is_some() {
                out.push(line(depth, "Limit"));
                depth += 1;
            }
            if !plan.order.is_empty() {
                out.push(line(depth, "Sort"));
                let keys: Vec<String> = plan
                    .order
                    .iter()
                    .map(|key| {
                        let shown = match &key.source {
                            OrderSource::Output(at) => plan.projection.columns[*at].name.clone(),
                            OrderSource::Input(scalar) => show(scalar, table_of(&plan.rows)),
                        };
                        if key.descending { format!("{shown} DESC") } else { shown }
                    })
                    .collect();
                out.push(detail(depth, "Sort Key", &keys.join(", ")));
                depth += 1;
            }
            if !plan.aggregates.is_empty() {
                out.push(line(depth, "Aggregate"));
                let shown = plan.aggregates.iter().map(|aggregate| {
                    let argument = aggregate.argument.as_ref().map(|argument| show(argument, table_of(&plan.rows)));
                    format!("{}({})", aggregate.kind.name(), argument.unwrap_or_else(|| "*".to_owned()))
                });
                out.push(detail(depth, "Output", &shown.collect::<Vec<_>>().join(", ")));
                depth += 1;
            }
            rows(&plan.rows, plan.filter.as_ref(), depth, run, &mut out).await?;
        }
        Plan::Insert(plan) => {
            out.push(line(0, &format!("Insert on {}", plan.table.name)));
            if plan.skip_conflicts {
                out.push(detail(0, "Conflict Resolution", "NOTHING"));
            }
            match &plan.source {
                InsertSource::Values(rows) => out.push(line(1, &format!("Values ({} rows)", rows.len()))),
                InsertSource::Query(query, _) => {
                    let inner = analytic::explain(query, (run.analytic)(run.transaction.reader())).await?;
                    out.extend(inner.into_iter().map(|text| format!("{}{text}", indent(1))));
                }
            }
        }
        Plan::Update(plan) => {
            out.push(line(0, &format!("Update on {}", plan.table.name)));
            rows(&plan.rows, plan.filter.as_ref(), 1, run, &mut out).await?;
        }
        Plan::Delete(plan) => {
            out.push(line(0, &format!("Delete on {}", plan.table.name)));
            rows(&plan.rows, plan.filter.as_ref(), 1, run, &mut out).await?;
        }
        Plan::Analytic(plan) => out = analytic::explain(plan, (run.analytic)(run.transaction.reader())).await?,
        Plan::Sleep(_) => out.push(line(0, "Sleep")),
        Plan::Explain(_) | Plan::Catalog(_) | Plan::Command => out.push(line(0, "Utility Statement")),
    }
    Ok(out)
}

fn indent(depth: usize) -> String {
    if depth == 0 { String::new() } else { format!("{}->  ", " ".repeat(6 * depth - 4)) }
}

fn line(depth: usize, text: &str) -> String {
    format!("{}{text}", indent(depth))
}

fn detail(depth: usize, name: &str, text: &str) -> String {
    format!("{}{name}: {text}", " ".repeat(6 * depth + 2))
}

fn table_of(rows: &RowSource) -> Option<&TableDescriptor> {
    rows.table().map(|table| table.as_ref())
}

async fn rows(
    source: &RowSource,
    filter: Option<&Scalar>,
    depth: usize,
    run: Run<'_>,
    out: &mut Vec<String>,
) -> Result<(), Failure> {
    let table = table_of(source);
    match source {
        RowSource::Nothing => out.push(line(depth, "Result")),
        RowSource::Keys(table, keys) => {
            out.push(line(depth, &format!("Point Get on {}", table.name)));
            out.push(detail(depth, "Key", &key_parts(table, keys).join(" AND ")));
        }
        RowSource::Scan(table, ScanPlan { prefix, low, high }) => {
            out.push(line(depth, &format!("Scan on {}", table.name)));
            let mut parts = key_parts(table, prefix);
            let next = table.key_positions().get(parts.len()).map(|at| &table.columns[*at].name);
            for (bound, sign) in [(low, '>'), (high, '<')] {
                if let (Some(bound), Some(name)) = (bound, next) {
                    let equal = if bound.inclusive { "=" } else { "" };
                    parts.push(format!("({name} {sign}{equal} {})", show(&bound.value, Some(table))));
                }
            }
            if !parts.is_empty() {
                out.push(detail(depth, "Key", &parts.join(" AND ")));
            }
        }
        RowSource::Query(_, plan) => {
            let inner = analytic::explain(plan, (run.analytic)(run.transaction.reader())).await?;
            out.extend(inner.into_iter().map(|text| line(depth, &text)));
        }
    }
    if let Some(filter) = filter {
        out.push(detail(depth, "Filter", &show(filter, table)));
    }
    Ok(())
}

/// What leading columns of the key may equal.
fn key_parts(table: &TableDescriptor, keys: &KeyPlan) -> Vec<String> {
    let parts = table.key_positions().into_iter().zip(keys.parts()).map(|(at, alternatives)| {
        let name = &table.columns[at].name;
        let shown: Vec<String> = alternatives.iter().map(|a| show(a, Some(table))).collect();
        match shown.as_slice() {
            [one] => format!("({name} = {one})"),
            many => format!("({name} IN ({}))", many.join(", ")),
        }
    });
    parts.collect()
}

/// An expression as SQL, with parentheses around everything that is not a word.
fn show(scalar: &Scalar, table: Option<&TableDescriptor>) -> String {
    let s = |scalar: &Scalar| show(scalar, table);
    let list = |all: &[Scalar], by: &str| all.iter().map(s).collect::<Vec<_>>().join(by);
    match scalar {
        Scalar::Constant(Value::Null) => "NULL".to_owned(),
        Scalar::Constant(value @ (Value::Text(_) | Value::Timestamptz(_))) => {
            format!("'{}'", text::output(value, &Formats::default()).replace('\'', "''"))
        }
        Scalar::Constant(Value::Bool(v)) => v.to_string(),
        Scalar::Constant(value) => text::output(value, &Formats::default()),
        Scalar::Parameter(at) => format!("${}", at + 1),
        Scalar::Column(at) => {
            table.and_then(|table| table.columns.get(*at)).map_or_else(|| format!("#{at}"), |c| c.name.clone())
        }
        Scalar::Aggregate(at) => format!("#{at}"),
        Scalar::Fact(Fact::Now) => "now()".to_owned(),
        Scalar::Fact(Fact::Database) => "current_database()".to_owned(),
        Scalar::Fact(Fact::User) => "current_user".to_owned(),
        Scalar::Negate(a) => format!("(- {})", s(a)),
        Scalar::Arithmetic(op, _, a, b) => {
            let symbol = match op {
                Arithmetic::Add => "+",
                Arithmetic::Subtract => "-",
                Arithmetic::Multiply => "*",
                Arithmetic::Divide => "/",
                Arithmetic::Remainder => "%",
            };
            format!("({} {symbol} {})", s(a), s(b))
        }
        Scalar::Compare(op, a, b) => {
            let symbol = match op {
                Comparison::Equal => "=",
                Comparison::NotEqual => "<>",
                Comparison::Less => "<",
                Comparison::LessEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterEqual => ">=",
            };
            format!("({} {symbol} {})", s(a), s(b))
        }
        Scalar::And(all) => format!("({})", list(all, " AND ")),
        Scalar::Or(all) => format!("({})", list(all, " OR ")),
        Scalar::Not(a) => format!("(NOT {})", s(a)),
        Scalar::IsNull(a) => format!("({} IS NULL)", s(a)),
        Scalar::IsDistinct(a, b) => format!("({} IS DISTINCT FROM {})", s(a), s(b)),
        Scalar::Is(a, v) => format!("({} IS {})", s(a), if *v { "TRUE" } else { "FALSE" }),
        Scalar::In(a, all) => format!("({} IN ({}))", s(a), list(all, ", ")),
        Scalar::Like { text, pattern, .. } => format!("({} ~~ {})", s(text), s(pattern)),
        Scalar::Concat(a, b) => format!("({} || {})", s(a), s(b)),
        Scalar::Case { branches, otherwise } => {
            let branches: String =
                branches.iter().map(|(when, then)| format!("WHEN {} THEN {} ", s(when), s(then))).collect();
            format!("CASE {branches}ELSE {} END", s(otherwise))
        }
        Scalar::Coalesce(all) => format!("COALESCE({})", list(all, ", ")),
        Scalar::NullIf(a, b) => format!("NULLIF({}, {})", s(a), s(b)),
        Scalar::Cast(a, to) => format!("({})::{to}", s(a)),
        Scalar::Limit { text, length_max, .. } => format!("({})::character varying({length_max})", s(text)),
        Scalar::Call(function, a) => {
            let name = match function {
                Function::Abs => "abs",
                Function::Length => "length",
                Function::Lower => "lower",
                Function::Upper => "upper",
            };
            format!("{name}({})", s(a))
        }
    }
}
