//! Scalar expressions: bound to types and positions by `bind`, evaluated here.
//!
//! The evaluator serves plans by key and by scan, constant selects, defaults and the WHERE of writes. What it knows it does as Postgres
//! does: same results, same types, same errors. What it does not know never reaches it.
//!
//! Invariants
//!  V1  Operands have been coerced by the binder: evaluation meets the types that it was bound with.
//!  V2  Nothing here looks at a clock, draws luck or reads a row: everything comes in through [`Env`].

use std::cmp::Ordering;

use tenet_types::{SqlType, Value};

use crate::cast;
use crate::error::{SqlError, SqlState};
use crate::text::Formats;

#[derive(Clone, Debug)]
pub(crate) enum Scalar {
    Constant(Value),
    /// From 0.
    Parameter(usize),
    /// Position in the row.
    Column(usize),
    /// Position among the statement's aggregates, whose results are then the row.
    Aggregate(usize),
    Fact(Fact),
    Negate(Box<Scalar>),
    /// Of two numbers of the type, which is the result's.
    Arithmetic(Arithmetic, SqlType, Box<Scalar>, Box<Scalar>),
    Compare(Comparison, Box<Scalar>, Box<Scalar>),
    And(Vec<Scalar>),
    Or(Vec<Scalar>),
    Not(Box<Scalar>),
    IsNull(Box<Scalar>),
    IsDistinct(Box<Scalar>, Box<Scalar>),
    /// IS TRUE, IS FALSE: never null.
    Is(Box<Scalar>, bool),
    In(Box<Scalar>, Vec<Scalar>),
    Like {
        text: Box<Scalar>,
        pattern: Box<Scalar>,
        escape: Option<char>,
    },
    Concat(Box<Scalar>, Box<Scalar>),
    Case {
        branches: Vec<(Scalar, Scalar)>,
        otherwise: Box<Scalar>,
    },
    Coalesce(Vec<Scalar>),
    NullIf(Box<Scalar>, Box<Scalar>),
    Cast(Box<Scalar>, SqlType),
    /// `varchar(n)`.
    Limit {
        text: Box<Scalar>,
        length_max: usize,
        explicit: bool,
    },
    Call(Function, Box<Scalar>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// What a session knows that a plan, shared between sessions, does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Now,
    Database,
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Abs,
    Length,
    Lower,
    Upper,
}

/// Everything that a value may depend on beside the row.
#[derive(Clone, Debug)]
pub(crate) struct Env {
    pub params: Vec<Value>,
    /// When the transaction began, in microseconds since the Unix epoch.
    pub now_us: i64,
    pub database: String,
    pub user: String,
    pub formats: Formats,
}

impl Comparison {
    /// The one that holds of the same two operands the other way round.
    pub(crate) fn flipped(self) -> Comparison {
        match self {
            Comparison::Equal | Comparison::NotEqual => self,
            Comparison::Less => Comparison::Greater,
            Comparison::LessEqual => Comparison::GreaterEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterEqual => Comparison::LessEqual,
        }
    }

    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterEqual => order.is_ge(),
        }
    }
}

/// Visits parts in either way that they can be borrowed.
macro_rules! for_each_part {
    ($scalar:expr, $visit:expr) => {
        match $scalar {
            Scalar::Constant(_) | Scalar::Parameter(_) | Scalar::Column(_) | Scalar::Aggregate(_) | Scalar::Fact(_) => {
            }
            Scalar::Negate(a)
            | Scalar::Not(a)
            | Scalar::IsNull(a)
            | Scalar::Is(a, _)
            | Scalar::Cast(a, _)
            | Scalar::Call(_, a)
            | Scalar::Limit { text: a, .. } => $visit(a),
            Scalar::Arithmetic(_, _, a, b)
            | Scalar::Compare(_, a, b)
            | Scalar::IsDistinct(a, b)
            | Scalar::Like { text: a, pattern: b, .. }
            | Scalar::Concat(a, b)
            | Scalar::NullIf(a, b) => {
                $visit(a);
                $visit(b);
            }
            Scalar::And(all) | Scalar::Or(all) | Scalar::Coalesce(all) => {
                for a in all {
                    $visit(a);
                }
            }
            Scalar::In(a, list) => {
                $visit(a);
                for a in list {
                    $visit(a);
                }
            }
            Scalar::Case { branches, otherwise } => {
                for (when, then) in branches {
                    $visit(when);
                    $visit(then);
                }
                $visit(otherwise);
            }
        }
    };
}

impl Scalar {
    /// Whether the value is the same for every row.
    pub(crate) fn is_constant(&self) -> bool {
        !self.contains(&|scalar| matches!(scalar, Scalar::Column(_) | Scalar::Aggregate(_)))
    }

    /// Whether it, or a part of it, is such a one.
    pub(crate) fn contains(&self, such: &impl Fn(&Scalar) -> bool) -> bool {
        let mut found = such(self);
        self.for_each_part(&mut |part| found = found || part.contains(such));
        found
    }

    /// The same for many rows: parameters and facts are put in, and what they settle is computed once.
    ///
    /// As in Postgres, an operator that is NULL with a NULL operand is so whatever the other operand would do, and AND with false is
    /// false; so `NULL = 1 / n` fails for no n. What fails by itself stays as it is, to fail when a row comes to it.
    pub(crate) fn folded(&self, env: &Env) -> Scalar {
        let mut folded = self.clone();
        folded.fold(env);
        folded
    }

    fn fold(&mut self, env: &Env) {
        let is = |part: &Scalar, value: Value| matches!(part, Scalar::Constant(v) if *v == value);
        let (mut constant, mut null) = (!matches!(self, Scalar::Column(_) | Scalar::Aggregate(_)), false);
        self.for_each_part_mut(&mut |part| {
            part.fold(env);
            constant &= matches!(part, Scalar::Constant(_));
            null |= is(part, Value::Null);
        });
        let settled = match self {
            Scalar::Constant(_) => None,
            _ if constant => self.eval(&[], env).ok(),
            Scalar::And(all) => all.iter().any(|a| is(a, Value::Bool(false))).then_some(Value::Bool(false)),
            Scalar::Or(all) => all.iter().any(|a| is(a, Value::Bool(true))).then_some(Value::Bool(true)),
            Scalar::In(a, _) => is(a, Value::Null).then_some(Value::Null),
            Scalar::Arithmetic(..) | Scalar::Compare(..) | Scalar::Like { .. } | Scalar::Concat(..) => {
                null.then_some(Value::Null)
            }
            _ => None,
        };
        if let Some(value) = settled {
            *self = Scalar::Constant(value);
        }
        self.drop_unreachable();
    }

    /// Of CASE and COALESCE, what constants keep from being reached.
    fn drop_unreachable(&mut self) {
        let null = || Scalar::Constant(Value::Null);
        let only = match self {
            Scalar::Case { branches, otherwise } => {
                branches.retain(|(when, _)| !matches!(when, Scalar::Constant(value) if !is_true(value)));
                if let Some(at) = branches.iter().position(|(when, _)| matches!(when, Scalar::Constant(_))) {
                    (_, **otherwise) = branches.swap_remove(at);
                    branches.truncate(at);
                }
                branches.is_empty().then(|| std::mem::replace(otherwise.as_mut(), null()))
            }
            Scalar::Coalesce(all) => {
                all.retain(|a| !matches!(a, Scalar::Constant(Value::Null)));
                if let Some(at) = all.iter().position(|a| matches!(a, Scalar::Constant(_))) {
                    all.truncate(at + 1);
                }
                (all.len() <= 1).then(|| all.pop().unwrap_or_else(null))
            }
            _ => None,
        };
        if let Some(only) = only {
            *self = only;
        }
    }

    /// The expressions that it is made of.
    fn for_each_part<'a>(&'a self, visit: &mut impl FnMut(&'a Scalar)) {
        for_each_part!(self, visit);
    }

    fn for_each_part_mut(&mut self, visit: &mut impl FnMut(&mut Scalar)) {
        for_each_part!(self, visit);
    }

    /// The value for a row; `row` is empty where there is none.
    pub(crate) fn eval(&self, row: &[Value], env: &Env) -> Result<Value, SqlError> {
        Ok(match self {
            Scalar::Constant(value) => value.clone(),
            Scalar::Parameter(at) => env.params[*at].clone(),
            Scalar::Column(at) | Scalar::Aggregate(at) => row[*at].clone(),
            Scalar::Fact(Fact::Now) => Value::Timestamptz(env.now_us),
            Scalar::Fact(Fact::Database) => Value::Text(env.database.clone()),
            Scalar::Fact(Fact::User) => Value::Text(env.user.clone()),
            Scalar::Negate(a) => negate(a.eval(row, env)?)?,
            Scalar::Arithmetic(op, sql_type, a, b) => {
                let (a, b) = (a.eval(row, env)?, b.eval(row, env)?);
                arithmetic(*op, *sql_type, &a, &b)?
            }
            Scalar::Compare(op, a, b) => {
                let (a, b) = (a.eval(row, env)?, b.eval(row, env)?);
                if a.is_null() || b.is_null() { Value::Null } else { Value::Bool(op.holds(a.cmp(&b))) }
            }
            Scalar::And(all) => connect(all, false, row, env)?,
            Scalar::Or(all) => connect(all, true, row, env)?,
            Scalar::Not(a) => match a.eval(row, env)? {
                Value::Bool(v) => Value::Bool(!v),
                null => null,
            },
            Scalar::IsNull(a) => Value::Bool(a.eval(row, env)?.is_null()),
            Scalar::IsDistinct(a, b) => Value::Bool(a.eval(row, env)? != b.eval(row, env)?),
            Scalar::Is(a, wanted) => Value::Bool(matches!(a.eval(row, env)?, Value::Bool(v) if v == *wanted)),
            Scalar::In(a, list) => is_in(&a.eval(row, env)?, list, row, env)?,
            Scalar::Like { text, pattern, escape } => match (text.eval(row, env)?, pattern.eval(row, env)?) {
                (Value::Text(text), Value::Text(pattern)) => Value::Bool(like(&text, &pattern, *escape)?),
                _ => Value::Null,
            },
            Scalar::Concat(a, b) => match (a.eval(row, env)?, b.eval(row, env)?) {
                (Value::Text(a), Value::Text(b)) => Value::Text(a + &b),
                _ => Value::Null,
            },
            Scalar::Case { branches, otherwise } => {
                for (when, then) in branches {
                    if is_true(&when.eval(row, env)?) {
                        return then.eval(row, env);
                    }
                }
                otherwise.eval(row, env)?
            }
            Scalar::Coalesce(all) => {
                for a in all {
                    let value = a.eval(row, env)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Scalar::NullIf(a, b) => {
                let (a, b) = (a.eval(row, env)?, b.eval(row, env)?);
                if !a.is_null() && !b.is_null() && a == b { Value::Null } else { a }
            }
            Scalar::Cast(a, to) => cast::cast(a.eval(row, env)?, *to, &env.formats)?,
            Scalar::Limit { text, length_max, explicit } => {
                cast::limit_length(text.eval(row, env)?, *length_max, *explicit)?
            }
            Scalar::Call(function, a) => call(*function, a.eval(row, env)?)?,
        })
    }
}

/// A WHERE holds when it is true, not when it is null.
pub(crate) fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true))
}

/// AND (`decisive` false) and OR (`decisive` true) in three-valued logic: the decisive value settles it at once.
fn connect(all: &[Scalar], decisive: bool, row: &[Value], env: &Env) -> Result<Value, SqlError> {
    let mut result = Value::Bool(!decisive);
    for a in all {
        match a.eval(row, env)? {
            Value::Bool(v) if v == decisive => return Ok(Value::Bool(decisive)),
            Value::Bool(_) => {}
            _ => result = Value::Null,
        }
    }
    Ok(result)
}

fn is_in(value: &Value, list: &[Scalar], row: &[Value], env: &Env) -> Result<Value, SqlError> {
    let mut result = Value::Bool(false);
    for a in list {
        let a = a.eval(row, env)?;
        if value.is_null() || a.is_null() {
            result = Value::Null;
        } else if a == *value {
            return Ok(Value::Bool(true));
        }
    }
    Ok(result)
}

pub(crate) fn negate(value: Value) -> Result<Value, SqlError> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Int2(v) => v.checked_neg().map(Value::Int2).ok_or_else(|| cast::out_of_range(SqlType::Int2)),
        Value::Int4(v) => v.checked_neg().map(Value::Int4).ok_or_else(|| cast::out_of_range(SqlType::Int4)),
        Value::Int8(v) => v.checked_neg().map(Value::Int8).ok_or_else(|| cast::out_of_range(SqlType::Int8)),
        Value::Float8(v) => Ok(Value::Float8(-v)),
        Value::Bool(_) | Value::Text(_) | Value::Timestamptz(_) => Err(unbound("-")),
    }
}

fn arithmetic(op: Arithmetic, sql_type: SqlType, a: &Value, b: &Value) -> Result<Value, SqlError> {
    if a.is_null() || b.is_null() {
        return Ok(Value::Null);
    }
    if let (Value::Float8(a), Value::Float8(b)) = (a, b) {
        return float_arithmetic(op, *a, *b).map(Value::Float8);
    }
    let (Some(a), Some(b)) = (a.as_int(), b.as_int()) else { return Err(unbound("arithmetic")) };
    let result = match op {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide | Arithmetic::Remainder if b == 0 => return Err(division_by_zero()),
        Arithmetic::Divide => a.checked_div(b),
        // The least number divided by -1 leaves nothing, though the quotient does not exist.
        Arithmetic::Remainder => Some(a.wrapping_rem(b)),
    };
    result.ok_or_else(|| cast::out_of_range(sql_type)).and_then(|v| cast::int(v, sql_type))
}

pub(crate) fn float_arithmetic(op: Arithmetic, a: f64, b: f64) -> Result<f64, SqlError> {
    let result = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide if b == 0.0 && !a.is_nan() => return Err(division_by_zero()),
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => return Err(unbound("%")),
    };
    let range = |what| SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range: {what}"));
    if result.is_infinite() && !a.is_infinite() && !b.is_infinite() {
        return Err(range("overflow"));
    }
    let vanished = result == 0.0
        && match op {
            Arithmetic::Multiply => a != 0.0 && b != 0.0,
            Arithmetic::Divide => a != 0.0 && !b.is_infinite(),
            Arithmetic::Add | Arithmetic::Subtract | Arithmetic::Remainder => false,
        };
    if vanished { Err(range("underflow")) } else { Ok(result) }
}

fn division_by_zero() -> SqlError {
    SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

pub(crate) fn call(function: Function, a: Value) -> Result<Value, SqlError> {
    match (function, a) {
        (_, Value::Null) => Ok(Value::Null),
        (Function::Abs, Value::Float8(v)) => Ok(Value::Float8(v.abs())),
        (Function::Abs, a) => match a.as_int() {
            Some(v) if v < 0 => negate(a),
            Some(_) => Ok(a),
            None => Err(unbound("abs")),
        },
        (Function::Length, Value::Text(v)) => {
            Ok(Value::Int4(i32::try_from(v.chars().count()).map_err(|_| cast::out_of_range(SqlType::Int4))?))
        }
        (Function::Lower, Value::Text(v)) => Ok(Value::Text(v.to_lowercase())),
        (Function::Upper, Value::Text(v)) => Ok(Value::Text(v.to_uppercase())),
        (Function::Length | Function::Lower | Function::Upper, _) => Err(unbound("a text function")),
    }
}

/// V1 is broken, perhaps by a parameter of another type than declared.
fn unbound(what: &str) -> SqlError {
    SqlError::internal(format!("{what} met a value of a type that it was not planned for"))
}

/// `%` is any text, `_` any character. Only the last `%` ever needs to be tried again.
fn like(text: &str, pattern: &str, escape: Option<char>) -> Result<bool, SqlError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Piece {
        Any,
        One,
        Char(char),
        /// An escape with nothing after it: an error if it is ever compared with a character.
        Dangling,
    }
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            c if Some(c) == escape => chars.next().map_or(Piece::Dangling, Piece::Char),
            '%' => Piece::Any,
            '_' => Piece::One,
            c => Piece::Char(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut t, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pieces.get(p) {
            Some(Piece::Any) => {
                p += 1;
                retry = Some((t, p));
                continue;
            }
            Some(Piece::Dangling) => {
                return Err(SqlError::new(
                    SqlState::INVALID_ESCAPE_SEQUENCE,
                    "LIKE pattern must not end with escape character",
                ));
            }
            Some(Piece::One) => {
                (t, p) = (t + 1, p + 1);
                continue;
            }
            Some(Piece::Char(c)) if *c == text[t] => {
                (t, p) = (t + 1, p + 1);
                continue;
            }
            Some(Piece::Char(_)) | None => {}
        }
        let Some((from, after)) = retry else { return Ok(false) };
        retry = Some((from + 1, after));
        (t, p) = (from + 1, after);
    }
    Ok(pieces[p..].iter().all(|piece| *piece == Piece::Any))
}
