//! Identifiers, as Postgres has them: unquoted ones fold to lower case, all end after 63 bytes.

/// Longest identifier, in bytes (Postgres: NAMEDATALEN - 1).
pub const NAME_BYTES_MAX: usize = 63;

/// The identifier that is meant by what was written. Only ASCII letters fold, as in Postgres with a multi-byte encoding;
/// what is too long is cut at a character's end.
pub fn fold(written: &str, quoted: bool) -> String {
    let mut name = if quoted { written.to_owned() } else { written.to_ascii_lowercase() };
    if name.len() > NAME_BYTES_MAX {
        let cut = (0..=NAME_BYTES_MAX).rev().find(|at| name.is_char_boundary(*at)).expect("0 is a boundary");
        name.truncate(cut);
    }
    name
}
