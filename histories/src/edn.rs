//! EDN, the notation of Clojure's data: text to [`Value`] and back.
//!
//! ```text
//! {:process 0, :f :txn, :value [[:append 8 1] [:r 9 nil]]}   map, keyword, integer, vector, nil
//! #{1 2}  (1 2)  1.5M  22/7  \newline  foo/bar  ##NaN        set, list, numbers, character, symbol
//! #jepsen.history.Op{:index 0}  #inst "2026-01-01"           tagged
//! ; to the end of the line          #_ {:skipped true}       comment, discarded form; commas are blanks
//! ```
//! After the specification of EDN (github.com/edn-format/edn), with three things that Clojure prints beside: ratios,
//! `##NaN`, and maps whose keys share a namespace (`#:jepsen{:a 1}`, read as `{:jepsen/a 1}`).
//!
//! Invariants
//!  N1  What is written is read back equal. What has no EDN form (a keyword with a blank in it) is refused, never written.
//!  N2  Nesting is bounded: no input overflows the stack.

mod read;
mod write;

pub(crate) use read::{names, next_form, parse, parse_fields};
pub(crate) use write::{is_name, to_text, write};
