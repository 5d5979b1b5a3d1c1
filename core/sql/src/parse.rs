//! From a query string to statements, and from places in statements back to characters of the string.
//!
//! The grammar is sqlparser's with the Postgres dialect. It takes more than Postgres does; what would then be silently
//! ignored or mean something else is refused by those who read the statement. Errors are worded as Postgres words them.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{self, BinaryOperator, Expr, Statement, VisitMut, VisitorMut};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::{SqlError, SqlState};
use crate::psql::{self, CatalogQuery};

/// Longest chain or nesting of operators. The parser bounds nesting by itself, but `1+1+1…` is as deep a tree as it is long,
/// and everything that walks or drops a tree does so on the stack.
const OPERATORS_MAX: usize = 256;

/// Deepest nesting of parentheses and clauses that the parser follows.
const NESTING_MAX: usize = 100;

/// A query string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(Arc<str>);

/// A statement, and the string that it is part of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub(crate) body: Arc<Body>,
    pub(crate) source: Source,
    /// Which of the string's statements this is: with the string, a name for it.
    pub(crate) ordinal: usize,
}

/// Always behind an `Arc`, so that its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Body {
    Statement(Statement),
    /// One of psql's questions about the catalog, which are known by their text.
    Catalog(CatalogQuery),
}

impl Source {
    pub(crate) fn new(text: &str) -> Source {
        Source(text.into())
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The character at a place, counted from 1. `None` for the place of what has none.
    pub(crate) fn position(&self, place: Location) -> Option<usize> {
        position(&self.0, place)
    }

    /// The first character after a place that is not white space or a closing parenthesis: where an operator stands after its
    /// left operand, which alone has a place.
    pub(crate) fn position_after(&self, place: Location) -> Option<usize> {
        let from = self.position(place)?;
        let skip = self.0.chars().skip(from - 1).position(|c| !c.is_whitespace() && c != ')')?;
        Some(from + skip)
    }
}

fn position(text: &str, place: Location) -> Option<usize> {
    if place.line == 0 {
        return None;
    }
    let (mut line, mut column) = (1, 1);
    for (at, c) in text.chars().enumerate() {
        if (line, column) == (place.line, place.column) {
            return Some(at + 1);
        }
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    Some(text.chars().count() + 1)
}

impl Parsed {
    /// The whole query string that it is part of.
    pub fn source(&self) -> &str {
        self.source.text()
    }

    /// `None` for a question of psql's.
    pub(crate) fn statement(&self) -> Option<&Statement> {
        match self.body.as_ref() {
            Body::Statement(statement) => Some(statement),
            Body::Catalog(_) => None,
        }
    }
}

/// Splits and parses. The empty string has no statements.
pub(crate) fn parse(text: &str) -> Result<Vec<Parsed>, SqlError> {
    let source = Source::new(text);
    if let Some(query) = psql::recognise(text) {
        return Ok(vec![Parsed { body: Arc::new(Body::Catalog(query)), source, ordinal: 0 }]);
    }
    parse_statements(&source).map_err(|error| match psql::catalog_relation(text) {
        // Such queries use what our grammar does not have: the reason that helps is that there is no such relation.
        Some(relation) => SqlError::unsupported(format!("the system catalog {relation}")),
        None => error,
    })
}

fn parse_statements(source: &Source) -> Result<Vec<Parsed>, SqlError> {
    let dialect = PostgreSqlDialect {};
    let text = source.text();
    let mut tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|error| {
        // An open comment is found at the end of the text; its beginning is what is wanted.
        let comment = error.message.contains("multi-line comment").then(|| text.rfind("/*")).flatten();
        let from = match comment {
            Some(byte) => text[..byte].chars().count() + 1,
            None => source.position(error.location).unwrap_or(1),
        };
        SqlError::new(SqlState::SYNTAX_ERROR, tokenizer_message(&error.message, text, from)).at(Some(from))
    })?;
    check_operators(&tokens)?;
    translate(&mut tokens);
    let is_distinct = |token: &TokenWithSpan| matches!(&token.token, Token::Word(w) if w.keyword == Keyword::DISTINCT);
    let has_distinct_from = tokens.iter().any(is_distinct);
    let mut parser = Parser::new(&dialect).with_recursion_limit(NESTING_MAX).with_tokens_with_locations(tokens.clone());
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if parser.peek_token_ref().token == Token::EOF {
            return Ok(statements);
        }
        let mut statement = match parser.parse_statement() {
            Ok(statement) => statement,
            Err(error) => return Err(syntax_error(error, &tokens, source)),
        };
        let next = parser.peek_token_ref();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Err(near(next, source));
        }
        if has_distinct_from {
            let ControlFlow::Continue(()) = VisitMut::visit(&mut statement, &mut DistinctFrom);
        }
        statements.push(Parsed {
            body: Arc::new(Body::Statement(statement)),
            source: source.clone(),
            ordinal: statements.len(),
        });
    }
}

/// sqlparser takes everything after IS DISTINCT FROM for its right operand, also what AND and OR connect to it, which bind less.
struct DistinctFrom;

impl VisitorMut for DistinctFrom {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        let (Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right)) = &mut *expr else {
            return ControlFlow::Continue(());
        };
        if !is_connective(right) {
            return ControlFlow::Continue(());
        }
        // l IS DISTINCT FROM (x AND y) becomes (l IS DISTINCT FROM x) AND y.
        let mut rest = std::mem::replace(right.as_mut(), Expr::value(ast::Value::Null));
        let mut first = &mut rest;
        while is_connective(first) {
            let Expr::BinaryOp { left, .. } = first else { unreachable!("a connective is a binary operator") };
            first = left.as_mut();
        }
        let operand = std::mem::replace(first, Expr::value(ast::Value::Null));
        let mut test = std::mem::replace(expr, Expr::value(ast::Value::Null));
        if let Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right) = &mut test {
            **right = operand;
        }
        *first = test;
        *expr = rest;
        ControlFlow::Continue(())
    }
}

fn is_connective(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Words that our grammar does not know by ones that it does: a statement ABORT is ROLLBACK.
fn translate(tokens: &mut [TokenWithSpan]) {
    let mut begins = true;
    for token in tokens {
        match &mut token.token {
            Token::Whitespace(_) => continue,
            Token::Word(word) if begins && word.quote_style.is_none() && word.value.eq_ignore_ascii_case("abort") => {
                (word.value, word.keyword) = ("ROLLBACK".to_owned(), Keyword::ROLLBACK);
            }
            _ => {}
        }
        begins = token.token == Token::SemiColon;
    }
}

/// Counts operators along each path of brackets: an upper bound on the depth of any expression's tree.
fn check_operators(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut open: Vec<usize> = Vec::new();
    let (mut here, mut outside) = (0, 0);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => {
                open.push(here);
                outside += here;
                here = 0;
            }
            Token::RParen | Token::RBracket => {
                here = open.pop().unwrap_or(0);
                outside -= here;
            }
            Token::Comma | Token::SemiColon => here = 0,
            Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => {}
            Token::Word(word) => {
                use Keyword::{
                    AND, BETWEEN, CASE, ELSE, EXCEPT, ILIKE, IN, INTERSECT, IS, JOIN, LIKE, NOT, OR, UNION, WHEN,
                };
                let connects = [AND, OR, NOT, UNION, EXCEPT, INTERSECT, JOIN, CASE, WHEN, ELSE];
                let compares = [BETWEEN, LIKE, ILIKE, IN, IS];
                if connects.contains(&word.keyword) || compares.contains(&word.keyword) {
                    here += 1;
                }
            }
            _ => here += 1,
        }
        if here + outside > OPERATORS_MAX {
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "the statement is too complex")
                .detail(format!("An expression has more than {OPERATORS_MAX} operators in a chain.")));
        }
    }
    Ok(())
}

fn tokenizer_message(message: &str, text: &str, from: usize) -> String {
    let rest: String = text.chars().skip(from - 1).collect();
    match message {
        "Unterminated string literal" => format!("unterminated quoted string at or near \"{rest}\""),
        "Unexpected EOF while in a multi-line comment" => format!("unterminated /* comment at or near \"{rest}\""),
        _ if message.contains("close delimiter") => format!("unterminated quoted identifier at or near \"{rest}\""),
        _ if message.contains("Unterminated dollar-quoted") => {
            format!("unterminated dollar-quoted string at or near \"{rest}\"")
        }
        _ => format!("syntax error: {}", lower_first(message)),
    }
}

/// sqlparser says what it expected and found, and where; the place is the end of its message.
fn syntax_error(error: ParserError, tokens: &[TokenWithSpan], source: &Source) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "the statement is too complex")
                .detail(format!("Expressions or queries are nested more than {NESTING_MAX} deep."));
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => message,
    };
    let (what, place) = match message.rsplit_once(" at Line: ") {
        Some((what, place)) => (what, parse_place(place)),
        None => (message.as_str(), None),
    };
    let found = what.rsplit_once("found: ").map(|(_, found)| found);
    let token = place.and_then(|place| blamed(tokens, place, found));
    match token {
        Some(token) => near(token, source),
        None if what.contains("found: EOF") || place.is_none() && what.contains("EOF") => end_of_input(source),
        None => {
            SqlError::new(SqlState::SYNTAX_ERROR, "syntax error").at(place.and_then(|place| source.position(place)))
        }
    }
    .detail(format!("The parser said: {}.", lower_first(what)))
}

/// The token at a place; or the one before, if the message names that one: sqlparser is sometimes a token further.
fn blamed<'a>(tokens: &'a [TokenWithSpan], place: Location, found: Option<&str>) -> Option<&'a TokenWithSpan> {
    let at = tokens.iter().position(|token| token.span.start >= place).unwrap_or(tokens.len());
    let named = |token: &&TokenWithSpan| found.is_some_and(|found| token.token.to_string() == found);
    let before = || tokens[..at].iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
    let here = tokens.get(at).filter(|token| token.span.start == place);
    here.filter(named).or_else(|| before().filter(named)).or(here)
}

/// `1, Column: 8`
fn parse_place(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
}

fn near(token: &TokenWithSpan, source: &Source) -> SqlError {
    if token.token == Token::EOF {
        return end_of_input(source);
    }
    SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", token.token))
        .at(source.position(token.span.start))
}

fn end_of_input(source: &Source) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").at(Some(source.text().chars().count() + 1))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}
