//! Name patterns, as psql translates them into regular expressions: `*` became `.*`, `?` became `.`, the rest is literal.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    One(char),
    AnyOne,
    AnyMany,
}

/// `^(acc.*)$`, in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

impl Pattern {
    /// `None` for a regular expression with more than psql makes of `*` and `?`.
    pub fn parse(regex: &str) -> Option<Pattern> {
        let mut chars = regex.strip_prefix("^(")?.strip_suffix(")$")?.chars().peekable();
        let mut pieces = Vec::new();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '.' if chars.next_if_eq(&'*').is_some() => Piece::AnyMany,
                '.' => Piece::AnyOne,
                '\\' => Piece::One(chars.next().filter(|c| !c.is_alphanumeric())?),
                '*' | '+' | '?' | '|' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
                literal => Piece::One(literal),
            });
        }
        Some(Pattern(pieces))
    }

    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        // reachable[i]: the pieces so far can end before the i-th character.
        let mut reachable = vec![false; name.len() + 1];
        reachable[0] = true;
        for piece in &self.0 {
            let mut next = vec![false; name.len() + 1];
            for at in (0..=name.len()).filter(|at| reachable[*at]) {
                match piece {
                    Piece::AnyMany => next[at..].fill(true),
                    Piece::AnyOne if at < name.len() => next[at + 1] = true,
                    Piece::One(c) if name.get(at) == Some(c) => next[at + 1] = true,
                    Piece::AnyOne | Piece::One(_) => {}
                }
            }
            reachable = next;
        }
        reachable[name.len()]
    }
}
