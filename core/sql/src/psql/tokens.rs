//! SQL as tokens: white space and comments gone, unquoted words in lower case, strings decoded.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An identifier or keyword; a quoted one as it was quoted.
    Word(String),
    /// A string literal, plain or `E''`.
    Text(String),
    Number(String),
    /// Any other character, one at a time: `<>` is two.
    Symbol(char),
    /// `{name}`, in our own queries.
    Hole(String),
}

/// `None` if a string, a quoted word or a comment does not end, or holds an escape that psql never writes.
pub(super) fn tokenize(sql: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
        } else if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/")?.1;
        } else if let Some(body) = rest.strip_prefix('\'') {
            let (text, after) = quoted(body, '\'', false)?;
            tokens.push(Token::Text(text));
            rest = after;
        } else if let Some(body) = rest.strip_prefix("E'").or_else(|| rest.strip_prefix("e'")) {
            let (text, after) = quoted(body, '\'', true)?;
            tokens.push(Token::Text(text));
            rest = after;
        } else if let Some(body) = rest.strip_prefix('"') {
            let (word, after) = quoted(body, '"', false)?;
            tokens.push(Token::Word(word));
            rest = after;
        } else if first.is_alphabetic() || first == '_' {
            let (word, after) = split(rest, |c| c.is_alphanumeric() || c == '_' || c == '$');
            tokens.push(Token::Word(word.to_lowercase()));
            rest = after;
        } else if first.is_ascii_digit() {
            let (number, after) = split(rest, |c| c.is_ascii_digit());
            tokens.push(Token::Number(number.to_owned()));
            rest = after;
        } else if let Some((hole, after)) = rest.strip_prefix('{').and_then(|body| body.split_once('}')) {
            tokens.push(Token::Hole(hole.to_owned()));
            rest = after;
        } else {
            tokens.push(Token::Symbol(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(tokens)
}

/// What stands before the closing quote, and what comes after it.
fn quoted(body: &str, quote: char, escapes: bool) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_none_or(|(_, next)| *next != quote) {
                return Some((text, &body[at + c.len_utf8()..]));
            }
            chars.next();
            text.push(quote);
        } else if escapes && c == '\\' {
            match chars.next()?.1 {
                'n' => text.push('\n'),
                literal @ ('\\' | '\'' | '"') => text.push(literal),
                _ => return None,
            }
        } else {
            text.push(c);
        }
    }
    None
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}
