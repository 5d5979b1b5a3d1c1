//! From parsed expressions to [`Scalar`]s: names become positions, types are settled, casts are put in.
//!
//! The rules are Postgres' (chapter "Type Conversion") for the types that exist here. A literal in quotes, NULL and a
//! parameter begin without a type and take the one of what they meet; a literal with a decimal point is double precision,
//! since there is no numeric.
//!
//! An expression that is right but unknown here is [`Refusal::Elsewhere`]: the analytic way may know it.

use sqlparser::ast::{
    self, BinaryOperator, CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned,
    UnaryOperator, ValueWithSpan,
};
use sqlparser::tokenizer::Location;
use tenet_catalog::{NO_MODIFIER, TableDescriptor, fold};
use tenet_types::{SqlType, Value};

use crate::aggregate::{Aggregate, AggregateKind};
use crate::cast::{Context, castable, is_integer, is_number};
use crate::error::{SqlError, SqlState};
use crate::parse::Source;
use crate::scalar::{Arithmetic, Comparison, Fact, Function, Scalar};
use crate::text::{self, Formats};
use crate::types;

/// Most parameters of a statement, as in the protocol.
const PARAMETERS_MAX: usize = 65_535;

pub(crate) const NO_OPERATOR_HINT: &str =
    "No operator matches the given name and argument types. You might need to add explicit type casts.";
pub(crate) const NO_FUNCTION_HINT: &str =
    "No function matches the given name and argument types. You might need to add explicit type casts.";
const NO_CHOICE_HINT: &str = "Could not choose a best candidate operator. You might need to add explicit type casts.";

/// Why an expression was not bound.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// It is wrong.
    Wrong(SqlError),
    /// It is not known here; names what.
    Elsewhere(String),
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Refusal {
        Refusal::Wrong(error)
    }
}

impl Refusal {
    /// Where there is no other way.
    pub(crate) fn into_error(self) -> SqlError {
        match self {
            Refusal::Wrong(error) => error,
            Refusal::Elsewhere(what) => SqlError::unsupported(what),
        }
    }
}

fn elsewhere<T>(what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Elsewhere(what.into()))
}

/// A statement's parameters: what is known of their types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<Option<SqlType>>);

impl Parameters {
    /// From what the client says of them.
    pub(crate) fn new(hints: &[Option<SqlType>]) -> Parameters {
        Parameters(hints.to_vec())
    }

    fn mention(&mut self, at: usize) -> Option<SqlType> {
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        self.0[at]
    }

    fn settle(&mut self, at: usize, sql_type: SqlType) {
        self.0[at] = Some(sql_type);
    }

    /// As [`Parameters::new`] takes them.
    pub(crate) fn hints(&self) -> Vec<Option<SqlType>> {
        self.0.clone()
    }

    /// All types, when the statement is bound.
    pub(crate) fn finish(&self) -> Result<Vec<SqlType>, SqlError> {
        let undetermined = |at: usize| {
            let message = format!("could not determine data type of parameter ${}", at + 1);
            SqlError::new(SqlState::INDETERMINATE_DATATYPE, message)
        };
        self.0.iter().enumerate().map(|(at, sql_type)| sql_type.ok_or_else(|| undetermined(at))).collect()
    }
}

/// What names may refer to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The one table, and the name it goes by.
    pub table: Option<(&'a TableDescriptor, &'a str)>,
}

/// An expression with its type.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub scalar: Scalar,
    /// `None` while nothing has given it one.
    pub sql_type: Option<SqlType>,
    pub modifier: i32,
    /// Where it begins.
    pub place: Location,
}

impl Typed {
    fn known(scalar: Scalar, sql_type: SqlType, place: Location) -> Typed {
        Typed { scalar, sql_type: Some(sql_type), modifier: NO_MODIFIER, place }
    }

    fn type_name(&self) -> &'static str {
        self.sql_type.map_or("unknown", SqlType::name)
    }
}

pub(crate) struct Binder<'a> {
    pub source: &'a Source,
    pub scope: Scope<'a>,
    pub parameters: &'a mut Parameters,
    pub formats: &'a Formats,
    /// Those that were met; `None` where there must be none.
    pub aggregates: Option<Vec<Aggregate>>,
}

impl<'a> Binder<'a> {
    /// For expressions without aggregates.
    pub(crate) fn new(
        source: &'a Source,
        scope: Scope<'a>,
        parameters: &'a mut Parameters,
        formats: &'a Formats,
    ) -> Binder<'a> {
        Binder { source, scope, parameters, formats, aggregates: None }
    }

    pub(crate) fn bind(&mut self, expr: &Expr) -> Result<Typed, Refusal> {
        let place = expr.span().start;
        match expr {
            Expr::Identifier(name) => self.bind_column(None, name),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, name] => self.bind_column(Some(table), name),
                [schema, table, name] if fold_ident(schema) == "public" => self.bind_column(Some(table), name),
                _ => elsewhere("a name of more than three parts"),
            },
            Expr::Nested(inner) => self.bind(inner),
            Expr::Value(value) => self.bind_literal(value),
            Expr::TypedString(typed) => {
                let text = self.bind_literal(&typed.value)?;
                self.bind_cast(text, &typed.data_type, place)
            }
            Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                array: false,
                format: None,
            } => {
                let inner = self.bind(expr)?;
                self.bind_cast(inner, data_type, place)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let a = self.bind_bool(expr, "NOT")?;
                Ok(Typed::known(Scalar::Not(Box::new(a)), SqlType::Bool, place))
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => self.bind_negation(expr, place),
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => {
                let a = self.bind(expr)?;
                match a.sql_type {
                    Some(t) if is_number(t) => Ok(a),
                    _ => Err(self.no_unary_operator("+", &a, place).into()),
                }
            }
            Expr::BinaryOp { left, op, right } => self.bind_binary(left, op, right, place),
            Expr::IsNull(a) => self.bind_is_null(a, false, place),
            Expr::IsNotNull(a) => self.bind_is_null(a, true, place),
            Expr::IsTrue(a) => self.bind_is(a, Some(true), false, "IS TRUE", place),
            Expr::IsNotTrue(a) => self.bind_is(a, Some(true), true, "IS NOT TRUE", place),
            Expr::IsFalse(a) => self.bind_is(a, Some(false), false, "IS FALSE", place),
            Expr::IsNotFalse(a) => self.bind_is(a, Some(false), true, "IS NOT FALSE", place),
            Expr::IsUnknown(a) => self.bind_is(a, None, false, "IS UNKNOWN", place),
            Expr::IsNotUnknown(a) => self.bind_is(a, None, true, "IS NOT UNKNOWN", place),
            Expr::IsDistinctFrom(a, b) => self.bind_distinct(a, b, false, place),
            Expr::IsNotDistinctFrom(a, b) => self.bind_distinct(a, b, true, place),
            Expr::Between { expr, negated, low, high } => self.bind_between(expr, *negated, low, high, place),
            Expr::InList { expr, list, negated } => self.bind_in(expr, list, *negated, place),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.bind_like(*negated, expr, pattern, escape_char.as_ref(), place)
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.bind_case(operand.as_deref(), conditions, else_result.as_deref(), place)
            }
            Expr::Function(function) => self.bind_function(function, place),
            other => elsewhere(format!("the expression {other}")),
        }
    }

    /// Binds to a truth value; `whose` is named when it is none: "WHERE", "AND".
    pub(crate) fn bind_bool(&mut self, expr: &Expr, whose: &str) -> Result<Scalar, Refusal> {
        let typed = self.bind(expr)?;
        let (name, place) = (typed.type_name(), typed.place);
        match self.coerce(typed, SqlType::Bool, Context::Implicit)? {
            Some(typed) => Ok(typed.scalar),
            None => Err(SqlError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {whose} must be type boolean, not type {name}"),
            )
            .at(self.source.position(place))
            .into()),
        }
    }

    /// Gives what has no type yet the type of text, as a select list does.
    pub(crate) fn settle_text(&mut self, typed: Typed) -> Result<Typed, SqlError> {
        match typed.sql_type {
            Some(_) => Ok(typed),
            None => Ok(self.coerce(typed, SqlType::Text, Context::Explicit)?.expect("what has no type becomes any")),
        }
    }

    /// `None` when there is no such cast in this context. A literal is read here and may be bad.
    pub(crate) fn coerce(&mut self, typed: Typed, to: SqlType, context: Context) -> Result<Option<Typed>, SqlError> {
        let place = typed.place;
        let Some(from) = typed.sql_type else {
            let scalar = match typed.scalar {
                Scalar::Constant(Value::Text(text)) => {
                    let value = text::input(to, &text, self.formats);
                    Scalar::Constant(value.map_err(|error| error.at(self.source.position(place)))?)
                }
                Scalar::Parameter(at) => {
                    // It may have got another type since it was bound, beside this use in the same expression.
                    match self.parameters.mention(at) {
                        None => self.parameters.settle(at, to),
                        Some(settled) if settled != to => {
                            let typed = Typed::known(Scalar::Parameter(at), settled, place);
                            return self.coerce(typed, to, context);
                        }
                        Some(_) => {}
                    }
                    Scalar::Parameter(at)
                }
                null => null,
            };
            return Ok(Some(Typed::known(scalar, to, place)));
        };
        if from == to {
            return Ok(Some(typed));
        }
        if !castable(from, to, context) {
            return Ok(None);
        }
        Ok(Some(Typed::known(Scalar::Cast(Box::new(typed.scalar), to), to, place)))
    }

    /// [`Binder::coerce`] where the caller has made sure that there is a cast.
    fn must_coerce(&mut self, typed: Typed, to: SqlType) -> Result<Scalar, SqlError> {
        let from = typed.type_name();
        match self.coerce(typed, to, Context::Implicit)? {
            Some(typed) => Ok(typed.scalar),
            None => Err(SqlError::internal(format!("no implicit cast from {from} to {to}"))),
        }
    }

    fn bind_column(&mut self, table: Option<&Ident>, name: &Ident) -> Result<Typed, Refusal> {
        let column = fold_ident(name);
        let place = table.map_or(name.span.start, |t| t.span.start);
        let undefined = |shown: String| {
            SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column {shown} does not exist"))
                .at(self.source.position(place))
        };
        let found = match (self.scope.table, table) {
            (Some((descriptor, alias)), Some(qualifier)) if fold_ident(qualifier) == alias => {
                let at = descriptor.position(&column).ok_or_else(|| undefined(format!("{alias}.{column}")))?;
                Some((descriptor, at))
            }
            (_, Some(qualifier)) => {
                let message = format!("missing FROM-clause entry for table \"{}\"", fold_ident(qualifier));
                return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message).at(self.source.position(place)).into());
            }
            (Some((descriptor, alias)), None) => match descriptor.position(&column) {
                Some(at) => Some((descriptor, at)),
                None if column == alias => return elsewhere("a whole row as a value"),
                None => None,
            },
            (None, None) => None,
        };
        let (descriptor, at) = found.ok_or_else(|| undefined(format!("\"{column}\"")))?;
        let described = &descriptor.columns[at];
        Ok(Typed {
            scalar: Scalar::Column(at),
            sql_type: Some(described.sql_type),
            modifier: described.type_modifier,
            place,
        })
    }

    fn bind_literal(&mut self, literal: &ValueWithSpan) -> Result<Typed, Refusal> {
        let place = literal.span.start;
        let untyped =
            |value| Ok(Typed { scalar: Scalar::Constant(value), sql_type: None, modifier: NO_MODIFIER, place });
        match &literal.value {
            ast::Value::Number(digits, _) => self.bind_number(digits, false, place),
            ast::Value::SingleQuotedString(text)
            | ast::Value::EscapedStringLiteral(text)
            | ast::Value::UnicodeStringLiteral(text)
            | ast::Value::NationalStringLiteral(text) => untyped(Value::Text(text.clone())),
            ast::Value::DollarQuotedString(text) => untyped(Value::Text(text.value.clone())),
            ast::Value::Null => untyped(Value::Null),
            ast::Value::Boolean(v) => Ok(Typed::known(Scalar::Constant(Value::Bool(*v)), SqlType::Bool, place)),
            ast::Value::Placeholder(name) => {
                let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
                let at = number.and_then(|n| n.checked_sub(1)).filter(|at| *at < PARAMETERS_MAX).ok_or_else(|| {
                    SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {name}"))
                        .at(self.source.position(place))
                })?;
                let sql_type = self.parameters.mention(at);
                Ok(Typed { scalar: Scalar::Parameter(at), sql_type, modifier: NO_MODIFIER, place })
            }
            other => elsewhere(format!("the literal {other}")),
        }
    }

    /// The smallest of integer and bigint that holds it; double precision with a point or an exponent.
    fn bind_number(&self, digits: &str, negative: bool, place: Location) -> Result<Typed, Refusal> {
        let mut digits = digits.replace('_', "");
        if negative {
            digits.insert(0, '-');
        }
        let known = |value: Value| {
            let sql_type = value.sql_type().expect("a number");
            Ok(Typed::known(Scalar::Constant(value), sql_type, place))
        };
        let sql_type = if digits.contains(['.', 'e', 'E']) { SqlType::Float8 } else { SqlType::Int8 };
        match text::input(sql_type, &digits, self.formats).map_err(|e| e.at(self.source.position(place)))? {
            Value::Int8(v) => known(i32::try_from(v).map_or(Value::Int8(v), Value::Int4)),
            value => known(value),
        }
    }

    fn bind_cast(&mut self, inner: Typed, data_type: &ast::DataType, place: Location) -> Result<Typed, Refusal> {
        let (to, modifier) = match types::sql_type(data_type) {
            Ok(known) => known,
            Err(error) if error.state == SqlState::FEATURE_NOT_SUPPORTED => {
                return elsewhere(format!("a cast to {}", data_type.to_string().to_lowercase()));
            }
            Err(error) => return Err(error.at(self.source.position(place)).into()),
        };
        let from = inner.type_name();
        let Some(mut typed) = self.coerce(inner, to, Context::Explicit)? else {
            return Err(SqlError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}"))
                .at(self.source.position(place))
                .into());
        };
        if let Some(length_max) = length_max(modifier) {
            typed.scalar = Scalar::Limit { text: Box::new(typed.scalar), length_max, explicit: true };
        }
        typed.modifier = modifier;
        typed.place = place;
        Ok(typed)
    }

    fn bind_negation(&mut self, expr: &Expr, place: Location) -> Result<Typed, Refusal> {
        // The least number has no positive: the sign belongs to the literal.
        if let Expr::Value(ValueWithSpan { value: ast::Value::Number(digits, _), .. }) = expr {
            return self.bind_number(digits, true, place);
        }
        let a = self.bind(expr)?;
        match a.sql_type {
            Some(t) if is_number(t) => Ok(Typed::known(Scalar::Negate(Box::new(a.scalar)), t, place)),
            _ => Err(self.no_unary_operator("-", &a, place).into()),
        }
    }

    fn bind_binary(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let comparison = match op {
            BinaryOperator::And | BinaryOperator::Or => return self.bind_connective(left, op, right, place),
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::NotEqual,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterEqual,
            BinaryOperator::Plus => return self.bind_arithmetic(Arithmetic::Add, "+", left, right, place),
            BinaryOperator::Minus => return self.bind_arithmetic(Arithmetic::Subtract, "-", left, right, place),
            BinaryOperator::Multiply => return self.bind_arithmetic(Arithmetic::Multiply, "*", left, right, place),
            BinaryOperator::Divide => return self.bind_arithmetic(Arithmetic::Divide, "/", left, right, place),
            BinaryOperator::Modulo => return self.bind_arithmetic(Arithmetic::Remainder, "%", left, right, place),
            BinaryOperator::StringConcat => return self.bind_concat(left, right, place),
            other => return elsewhere(format!("the operator {other}")),
        };
        let at = left.span().end;
        let (a, b) = (self.bind(left)?, self.bind(right)?);
        let (a, b) = self.comparable(a, b, &op.to_string(), at)?;
        Ok(Typed::known(Scalar::Compare(comparison, Box::new(a), Box::new(b)), SqlType::Bool, place))
    }

    /// A chain of one connective becomes one node, so that long ones are not deep ones.
    fn bind_connective(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let mut operands = vec![right];
        let mut rest = left;
        while let Expr::BinaryOp { left, op: inner, right } = rest {
            if inner != op {
                break;
            }
            operands.push(right);
            rest = left;
        }
        operands.push(rest);
        let whose = if *op == BinaryOperator::And { "AND" } else { "OR" };
        let bound = operands.into_iter().rev().map(|e| self.bind_bool(e, whose)).collect::<Result<Vec<_>, _>>()?;
        let scalar = if *op == BinaryOperator::And { Scalar::And(bound) } else { Scalar::Or(bound) };
        Ok(Typed::known(scalar, SqlType::Bool, place))
    }

    /// Makes two operands comparable; integers of different widths are so already.
    fn comparable(&mut self, a: Typed, b: Typed, op: &str, after: Location) -> Result<(Scalar, Scalar), SqlError> {
        let common = match (a.sql_type, b.sql_type) {
            (Some(x), Some(y)) if x == y || (is_integer(x) && is_integer(y)) => return Ok((a.scalar, b.scalar)),
            (Some(x), Some(y)) if is_number(x) && is_number(y) => SqlType::Float8,
            (Some(_), Some(_)) => return Err(self.no_operator(op, &a, &b, after)),
            (Some(t), None) | (None, Some(t)) => t,
            (None, None) => SqlType::Text,
        };
        Ok((self.must_coerce(a, common)?, self.must_coerce(b, common)?))
    }

    fn bind_arithmetic(
        &mut self,
        op: Arithmetic,
        symbol: &str,
        left: &Expr,
        right: &Expr,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let at = left.span().end;
        let (a, b) = (self.bind(left)?, self.bind(right)?);
        let result = match (a.sql_type, b.sql_type) {
            (Some(SqlType::Timestamptz), _) | (_, Some(SqlType::Timestamptz)) => {
                return elsewhere("arithmetic on timestamps");
            }
            (Some(x), Some(y)) if is_number(x) && is_number(y) => wider(x, y),
            (Some(t), None) | (None, Some(t)) if is_number(t) => t,
            (None, None) => {
                let message = format!("operator is not unique: unknown {symbol} unknown");
                let at = self.source.position_after(at);
                return Err(SqlError::new(SqlState::AMBIGUOUS_FUNCTION, message).hint(NO_CHOICE_HINT).at(at).into());
            }
            _ => return Err(self.no_operator(symbol, &a, &b, at).into()),
        };
        if op == Arithmetic::Remainder && result == SqlType::Float8 {
            return Err(self.no_operator(symbol, &a, &b, at).into());
        }
        // Integers meet as they are; only a literal, a parameter or a float makes a cast.
        let side = |binder: &mut Self, typed: Typed| match typed.sql_type {
            Some(t) if is_integer(t) && is_integer(result) => Ok(typed.scalar),
            _ => binder.must_coerce(typed, result),
        };
        let (a, b) = (side(self, a)?, side(self, b)?);
        Ok(Typed::known(Scalar::Arithmetic(op, result, Box::new(a), Box::new(b)), result, place))
    }

    fn bind_concat(&mut self, left: &Expr, right: &Expr, place: Location) -> Result<Typed, Refusal> {
        let at = left.span().end;
        let (a, b) = (self.bind(left)?, self.bind(right)?);
        let textual = |t: &Typed| t.sql_type.is_none_or(|t| t == SqlType::Text);
        if !textual(&a) && !textual(&b) {
            return Err(self.no_operator("||", &a, &b, at).into());
        }
        let mut side = |typed| {
            self.coerce(typed, SqlType::Text, Context::Explicit).map(|t| t.expect("everything becomes text").scalar)
        };
        let (a, b) = (side(a)?, side(b)?);
        Ok(Typed::known(Scalar::Concat(Box::new(a), Box::new(b)), SqlType::Text, place))
    }

    fn bind_is_null(&mut self, a: &Expr, negated: bool, place: Location) -> Result<Typed, Refusal> {
        let typed = self.bind(a)?;
        let typed = self.settle_text(typed)?;
        Ok(negate(Scalar::IsNull(Box::new(typed.scalar)), negated, place))
    }

    fn bind_is(
        &mut self,
        a: &Expr,
        wanted: Option<bool>,
        negated: bool,
        whose: &str,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let a = Box::new(self.bind_bool(a, whose)?);
        let scalar = match wanted {
            Some(wanted) => Scalar::Is(a, wanted),
            None => Scalar::IsNull(a),
        };
        Ok(negate(scalar, negated, place))
    }

    fn bind_distinct(&mut self, left: &Expr, right: &Expr, negated: bool, place: Location) -> Result<Typed, Refusal> {
        let at = left.span().end;
        let (a, b) = (self.bind(left)?, self.bind(right)?);
        let (a, b) = self.comparable(a, b, "=", at)?;
        Ok(negate(Scalar::IsDistinct(Box::new(a), Box::new(b)), negated, place))
    }

    fn bind_between(
        &mut self,
        expr: &Expr,
        negated: bool,
        low: &Expr,
        high: &Expr,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let at = expr.span().end;
        let low = self.bind(low)?;
        let a = self.bind(expr)?;
        let (above, low) = self.comparable(a, low, ">=", at)?;
        // A second look, so that a parameter has the type that the first comparison gave it.
        let a = self.bind(expr)?;
        let high = self.bind(high)?;
        let (below, high) = self.comparable(a, high, "<=", at)?;
        let scalar = Scalar::And(vec![
            Scalar::Compare(Comparison::GreaterEqual, Box::new(above), Box::new(low)),
            Scalar::Compare(Comparison::LessEqual, Box::new(below), Box::new(high)),
        ]);
        Ok(negate(scalar, negated, place))
    }

    fn bind_in(&mut self, expr: &Expr, list: &[Expr], negated: bool, place: Location) -> Result<Typed, Refusal> {
        let at = expr.span().end;
        let left = self.bind(expr)?;
        let items = list.iter().map(|e| self.bind(e)).collect::<Result<Vec<_>, _>>()?;
        let mut common = left.sql_type;
        for item in &items {
            common = match (common, item.sql_type) {
                (Some(x), Some(y)) if x == y => common,
                (Some(x), Some(y)) if is_number(x) && is_number(y) => Some(wider(x, y)),
                (Some(_), Some(_)) => return Err(self.no_operator("=", &left, item, at).into()),
                (known, new) => known.or(new),
            };
        }
        let common = common.unwrap_or(SqlType::Text);
        let side = |binder: &mut Self, typed: Typed| match typed.sql_type {
            Some(t) if is_integer(t) && is_integer(common) => Ok(typed.scalar),
            _ => binder.must_coerce(typed, common),
        };
        let left = side(self, left)?;
        let items = items.into_iter().map(|item| side(self, item)).collect::<Result<Vec<_>, _>>()?;
        Ok(negate(Scalar::In(Box::new(left), items), negated, place))
    }

    fn bind_like(
        &mut self,
        negated: bool,
        expr: &Expr,
        pattern: &Expr,
        escape: Option<&ValueWithSpan>,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let at = expr.span().end;
        let (a, b) = (self.bind(expr)?, self.bind(pattern)?);
        let textual = |t: &Typed| t.sql_type.is_none_or(|t| t == SqlType::Text);
        if !textual(&a) || !textual(&b) {
            return Err(self.no_operator(if negated { "!~~" } else { "~~" }, &a, &b, at).into());
        }
        let escape = match escape.map(|v| &v.value) {
            None => Some('\\'),
            Some(ast::Value::SingleQuotedString(text)) => {
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (escape, None) => escape,
                    _ => {
                        return Err(SqlError::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
                            .hint("Escape string must be empty or one character.")
                            .into());
                    }
                }
            }
            Some(other) => return elsewhere(format!("the escape {other}")),
        };
        let text = Box::new(self.must_coerce(a, SqlType::Text)?);
        let pattern = Box::new(self.must_coerce(b, SqlType::Text)?);
        Ok(negate(Scalar::Like { text, pattern, escape }, negated, place))
    }

    fn bind_case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&Expr>,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let mut whens = Vec::new();
        for condition in conditions {
            whens.push(match operand {
                None => self.bind_bool(&condition.condition, "CASE/WHEN")?,
                Some(operand) => {
                    let at = operand.span().end;
                    let (a, b) = (self.bind(operand)?, self.bind(&condition.condition)?);
                    let (a, b) = self.comparable(a, b, "=", at)?;
                    Scalar::Compare(Comparison::Equal, Box::new(a), Box::new(b))
                }
            });
        }
        // Postgres looks at ELSE first when it settles the type.
        let mut results = Vec::new();
        results.push(match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => Typed { scalar: Scalar::Constant(Value::Null), sql_type: None, modifier: NO_MODIFIER, place },
        });
        for condition in conditions {
            results.push(self.bind(&condition.result)?);
        }
        let (mut results, sql_type) = self.unify(results, "CASE")?;
        let otherwise = Box::new(results.remove(0));
        let branches = whens.into_iter().zip(results).collect();
        Ok(Typed::known(Scalar::Case { branches, otherwise }, sql_type, place))
    }

    /// Settles one type for all (Postgres: `select_common_type`).
    pub(crate) fn unify(&mut self, all: Vec<Typed>, whose: &str) -> Result<(Vec<Scalar>, SqlType), SqlError> {
        let mut common: Option<SqlType> = None;
        for typed in &all {
            common = match (common, typed.sql_type) {
                (Some(x), Some(y)) if x == y => common,
                (Some(x), Some(y)) if is_number(x) && is_number(y) => Some(wider(x, y)),
                (Some(x), Some(y)) => {
                    let message = format!("{whose} types {x} and {y} cannot be matched");
                    return Err(
                        SqlError::new(SqlState::DATATYPE_MISMATCH, message).at(self.source.position(typed.place))
                    );
                }
                (known, new) => known.or(new),
            };
        }
        let common = common.unwrap_or(SqlType::Text);
        let scalars = all.into_iter().map(|typed| self.must_coerce(typed, common)).collect::<Result<_, _>>()?;
        Ok((scalars, common))
    }

    fn bind_function(&mut self, function: &ast::Function, place: Location) -> Result<Typed, Refusal> {
        let parts: Vec<String> = function.name.0.iter().filter_map(|part| part.as_ident()).map(fold_ident).collect();
        let name = match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [name] | ["pg_catalog", name] => name.to_owned(),
            _ => return elsewhere(format!("the function {}", function.name)),
        };
        let plain = function.over.is_none()
            && function.filter.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && function.parameters == FunctionArguments::None;
        let args: Option<Vec<&Expr>> = match &function.args {
            FunctionArguments::None => Some(Vec::new()),
            FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => list
                .args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                    _ => None,
                })
                .collect(),
            FunctionArguments::List(_) | FunctionArguments::Subquery(_) => None,
        };
        if let (true, FunctionArguments::List(list), Some("count" | "sum" | "min" | "max")) =
            (plain, &function.args, self.aggregates.is_some().then_some(name.as_str()))
        {
            return self.bind_aggregate(&name, list, place);
        }
        let (true, Some(args)) = (plain, args) else { return elsewhere(format!("the function {name}")) };
        let fact = |fact, sql_type| Ok(Typed::known(Scalar::Fact(fact), sql_type, place));
        let text = |text: &str| Ok(Typed::known(Scalar::Constant(Value::Text(text.to_owned())), SqlType::Text, place));
        match (name.as_str(), args.as_slice()) {
            ("now" | "transaction_timestamp" | "current_timestamp", []) => fact(Fact::Now, SqlType::Timestamptz),
            ("current_database" | "current_catalog", []) => fact(Fact::Database, SqlType::Text),
            ("current_user" | "session_user" | "user" | "current_role", []) => fact(Fact::User, SqlType::Text),
            ("current_schema", []) => text("public"),
            ("version", []) => text(crate::VERSION_TEXT),
            ("coalesce", [_, ..]) => {
                let all = args.iter().map(|e| self.bind(e)).collect::<Result<Vec<_>, _>>()?;
                let (all, sql_type) = self.unify(all, "COALESCE")?;
                Ok(Typed::known(Scalar::Coalesce(all), sql_type, place))
            }
            ("nullif", [a, b]) => {
                let (a, b) = (self.bind(a)?, self.bind(b)?);
                let own_type = a.sql_type;
                let (settled_a, settled_b) = (a.sql_type, b.sql_type);
                let (a, b) = self.comparable(a, b, "=", place)?;
                // The left operand as the comparison wants it.
                let sql_type = match (settled_a, settled_b) {
                    (Some(x), Some(y)) if is_integer(x) && y == SqlType::Float8 => SqlType::Float8,
                    _ => own_type.or(settled_b).unwrap_or(SqlType::Text),
                };
                Ok(Typed::known(Scalar::NullIf(Box::new(a), Box::new(b)), sql_type, place))
            }
            ("abs", [a]) => {
                let a = self.bind(a)?;
                let sql_type = match a.sql_type {
                    Some(t) if is_number(t) => t,
                    None => SqlType::Float8,
                    Some(_) => return Err(self.no_function("abs", &a, place).into()),
                };
                let a = Box::new(self.must_coerce(a, sql_type)?);
                Ok(Typed::known(Scalar::Call(Function::Abs, a), sql_type, place))
            }
            ("length" | "char_length" | "character_length", [a]) => {
                self.bind_text_function(Function::Length, &name, a, SqlType::Int4, place)
            }
            ("lower", [a]) => self.bind_text_function(Function::Lower, "lower", a, SqlType::Text, place),
            ("upper", [a]) => self.bind_text_function(Function::Upper, "upper", a, SqlType::Text, place),
            _ => elsewhere(format!("the function {name}")),
        }
    }

    fn bind_aggregate(
        &mut self,
        name: &str,
        list: &ast::FunctionArgumentList,
        place: Location,
    ) -> Result<Typed, Refusal> {
        // One within another is none that we know.
        let met = self.aggregates.take();
        let plain = list.duplicate_treatment.is_none() && list.clauses.is_empty();
        let (argument, sql_type) = match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if plain && name == "count" => (None, SqlType::Bool),
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] if plain => {
                let argument = self.bind(argument)?;
                // What has no type yet can be counted, but neither added nor compared.
                let argument = if name == "count" { self.settle_text(argument)? } else { argument };
                let Some(sql_type) = argument.sql_type else { return elsewhere(format!("{name} of an unknown")) };
                (Some(argument.scalar), sql_type)
            }
            _ => return elsewhere(format!("the aggregate {name}")),
        };
        let Some((kind, sql_type)) = AggregateKind::named(name, sql_type) else {
            return elsewhere(format!("{name} of {sql_type}"));
        };
        let mut met = met.unwrap_or_default();
        met.push(Aggregate { kind, argument });
        let at = met.len() - 1;
        self.aggregates = Some(met);
        Ok(Typed::known(Scalar::Aggregate(at), sql_type, place))
    }

    fn bind_text_function(
        &mut self,
        function: Function,
        name: &str,
        a: &Expr,
        result: SqlType,
        place: Location,
    ) -> Result<Typed, Refusal> {
        let a = self.bind(a)?;
        if a.sql_type.is_some_and(|t| t != SqlType::Text) {
            return Err(self.no_function(name, &a, place).into());
        }
        let a = Box::new(self.must_coerce(a, SqlType::Text)?);
        Ok(Typed::known(Scalar::Call(function, a), result, place))
    }

    /// `after` is the end of the left operand: operators have no place of their own.
    fn no_operator(&self, op: &str, a: &Typed, b: &Typed, after: Location) -> SqlError {
        let at = self.source.position_after(after);
        let message = format!("operator does not exist: {} {op} {}", a.type_name(), b.type_name());
        SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint(NO_OPERATOR_HINT).at(at)
    }

    fn no_unary_operator(&self, op: &str, a: &Typed, place: Location) -> SqlError {
        let at = self.source.position(place);
        match a.sql_type {
            Some(t) => SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {op} {t}"))
                .hint(NO_OPERATOR_HINT)
                .at(at),
            None => SqlError::new(SqlState::AMBIGUOUS_FUNCTION, format!("operator is not unique: {op} unknown"))
                .hint(NO_CHOICE_HINT)
                .at(at),
        }
    }

    fn no_function(&self, name: &str, a: &Typed, place: Location) -> SqlError {
        let message = format!("function {name}({}) does not exist", a.type_name());
        SqlError::new(SqlState::UNDEFINED_FUNCTION, message).hint(NO_FUNCTION_HINT).at(self.source.position(place))
    }
}

/// The wider of two number types.
fn wider(a: SqlType, b: SqlType) -> SqlType {
    if castable(a, b, Context::Implicit) { b } else { a }
}

fn negate(scalar: Scalar, negated: bool, place: Location) -> Typed {
    let scalar = if negated { Scalar::Not(Box::new(scalar)) } else { scalar };
    Typed::known(scalar, SqlType::Bool, place)
}

/// Greatest length that a modifier of text allows.
pub(crate) fn length_max(modifier: i32) -> Option<usize> {
    usize::try_from(modifier).ok().and_then(|m| m.checked_sub(4))
}

pub(crate) fn fold_ident(ident: &Ident) -> String {
    fold(&ident.value, ident.quote_style.is_some())
}

/// What a select list calls an expression without an alias (Postgres: `FigureColname`).
pub(crate) fn label(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(label, _)| label)
}

/// The label, and whether it is better than the name of a cast's type.
fn figure(expr: &Expr) -> Option<(String, bool)> {
    match expr {
        Expr::Identifier(name) => Some((fold_ident(name), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| (fold_ident(name), true)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            Some((label, true)) => Some((label, true)),
            _ => Some((cast_label(data_type), false)),
        },
        Expr::TypedString(typed) => Some((cast_label(&typed.data_type), false)),
        Expr::Function(function) => {
            function.name.0.last().and_then(|part| part.as_ident()).map(|name| (fold_ident(name), true))
        }
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((label, true)) => Some((label, true)),
            _ => Some(("case".to_owned(), false)),
        },
        // A truth value is a cast in Postgres' grammar.
        Expr::Value(ValueWithSpan { value: ast::Value::Boolean(_), .. }) => Some(("bool".to_owned(), false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Ceil { .. } => Some(("ceil".to_owned(), true)),
        Expr::Floor { .. } => Some(("floor".to_owned(), true)),
        Expr::Extract { .. } => Some(("extract".to_owned(), true)),
        Expr::Position { .. } => Some(("position".to_owned(), true)),
        Expr::Substring { .. } => Some(("substring".to_owned(), true)),
        Expr::Trim { .. } => Some(("btrim".to_owned(), true)),
        Expr::Overlay { .. } => Some(("overlay".to_owned(), true)),
        Expr::Exists { .. } => Some(("exists".to_owned(), true)),
        Expr::Array(_) => Some(("array".to_owned(), true)),
        Expr::Subquery(query) => match query.body.as_ref() {
            ast::SetExpr::Select(select) => match select.projection.as_slice() {
                [ast::SelectItem::UnnamedExpr(expr)] => figure(expr),
                [ast::SelectItem::ExprWithAlias { alias, .. }] => Some((fold_ident(alias), true)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn cast_label(data_type: &ast::DataType) -> String {
    match types::sql_type(data_type) {
        Ok((sql_type, modifier)) => types::short_name(sql_type, modifier).to_owned(),
        Err(_) => data_type.to_string().to_lowercase(),
    }
}
