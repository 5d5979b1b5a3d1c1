//! A history as one page that needs nothing else: no network, no other file, no server.
//!
//! The page draws operations as bars per client over time and faults as bands, and over them what was found: the order that
//! proves a history valid, the longest prefix that has one with the operations that block it, or an anomaly's cycle with
//! each step explained. The words of the verdict stand in the page itself; the drawing is done by `page.js` on one canvas,
//! from flat columns ([`columns`]), so that a hundred thousand operations stay within [`PAGE_BYTES`].
//!
//! Invariants
//!  W1  The page refers to nothing outside of itself, and says so to the browser (its content security policy).
//!  W2  Nothing of a history is ever markup: words are escaped, data stands in a script element without any `<`, and the
//!      script only sets text.
//!  W3  Texts of operations are shortened, in the middle, until the page is small enough; never those of what was found.
//!
//! Absent: editing, comparing two histories.

mod columns;

use std::fmt::Write;

use tenet_histories::History;

use crate::linearizable::Proof;
use crate::{CheckError, Finding, Judgement, isolation, linearizable};

/// The most that a page of a hundred thousand operations may have; longer histories have longer pages in proportion.
pub const PAGE_BYTES: usize = 5_000_000;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a page shows besides the history. Operations are numbers in the order of invocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// `valid`, `INVALID` or `unknown`.
    pub verdict: &'static str,
    pub explanation: String,
    /// What the explanation names.
    pub operations: Vec<usize>,
    /// By part: in which order operations took effect.
    pub orders: Vec<(String, Vec<usize>)>,
    pub window: Option<Window>,
    pub steps: Vec<Step>,
}

/// Between two returns: no order goes further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub part: String,
    /// Positions of events.
    pub from: Option<usize>,
    pub until: usize,
    pub blocked: usize,
    pub open: Vec<usize>,
    /// What may have been the case just before, and after which operations.
    pub before: Vec<(String, Vec<usize>)>,
    pub before_more: usize,
}

/// From one operation of a cycle to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub from: usize,
    pub to: usize,
    pub kind: String,
    pub because: String,
}

impl Shown {
    pub fn of_finding(finding: &Finding) -> Shown {
        let (verdict, explanation, operations) = match finding {
            Finding::Valid => ("valid", String::new(), Vec::new()),
            Finding::Invalid { explanation, operations } => ("INVALID", explanation.clone(), operations.clone()),
            Finding::Unknown { reason } => ("unknown", reason.clone(), Vec::new()),
        };
        Shown { verdict, explanation, operations, ..Shown::default() }
    }

    /// The first verdict that is not valid.
    pub fn of_judgement(judgement: &Judgement) -> Shown {
        let invalid = judgement.failures().find(|verdict| matches!(verdict.finding, Finding::Invalid { .. }));
        let first = invalid.or(judgement.failures().next());
        first.map_or(Shown::of_finding(&Finding::Valid), |verdict| Shown::of_finding(&verdict.finding))
    }

    pub fn of_isolation(report: &isolation::Report) -> Shown {
        let steps = report.proof().and_then(isolation::Anomaly::cycle).map_or(Vec::new(), |cycle| {
            let step = |edge: &isolation::Edge| Step {
                from: edge.from.operation,
                to: edge.to.operation,
                kind: kind(edge.kind).to_string(),
                because: edge.to_string(),
            };
            cycle.edges.iter().map(step).collect()
        });
        Shown { steps, ..Shown::of_finding(&report.finding()) }
    }

    pub fn of_linearizable(report: &linearizable::Report) -> Shown {
        let shown = Shown::of_finding(&report.verdict().finding);
        match &report.proof {
            Proof::Valid(orders) => {
                let orders = orders.iter().map(|order| (order.part.clone(), order.operations.clone()));
                Shown { orders: orders.collect(), ..shown }
            }
            Proof::Invalid(violation) => {
                let linearizable::Violation { part, prefix, window, .. } = &**violation;
                let window = Window {
                    part: part.clone(),
                    from: window.from,
                    until: window.until,
                    blocked: window.blocked,
                    open: window.open.clone(),
                    before: window.before.iter().map(|before| (before.state.clone(), before.then.clone())).collect(),
                    before_more: window.before_more,
                };
                Shown { orders: vec![(part.clone(), prefix.clone())], window: Some(window), ..shown }
            }
            Proof::Unknown { .. } => shown,
        }
    }
}

/// On an arrow.
fn kind(kind: isolation::Kind) -> &'static str {
    match kind {
        isolation::Kind::WriteWrite => "ww",
        isolation::Kind::WriteRead => "wr",
        isolation::Kind::ReadWrite => "rw",
        isolation::Kind::PredicateReadWrite => "rw predicate",
        isolation::Kind::Process => "process",
        isolation::Kind::RealTime => "real time",
    }
}

/// The page. `title` is what people call the history, `model` what it was checked as.
pub fn page(history: &History, title: &str, model: &str, shown: &Shown) -> Result<String, CheckError> {
    let words = PAGE.len() + STYLE.len() + SCRIPT.len() + shown.explanation.len();
    let data = columns::data(history, model, shown, words)?;
    let mut page = String::with_capacity(words + data.len());
    // Placeholders are those of the template, never those of what is put in their places.
    for (number, piece) in PAGE.split("{{").enumerate() {
        let rest = match piece.split_once("}}").filter(|_| number > 0) {
            None => piece,
            Some((name, rest)) => {
                match name {
                    "title" => escape(title, &mut page),
                    "verdict" => page.push_str(shown.verdict),
                    "explanation" => escape(&shown.explanation, &mut page),
                    "style" => page.push_str(STYLE),
                    "script" => page.push_str(SCRIPT),
                    "data" => page.push_str(&data),
                    other => unreachable!("no placeholder `{other}` in the template"),
                }
                rest
            }
        };
        page.push_str(rest);
    }
    Ok(page)
}

/// Text between tags and in attributes.
fn escape(text: &str, into: &mut String) {
    for char in text.chars() {
        match char {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            // No other control character may stand in a page.
            control if control.is_control() && control != '\n' => {
                write!(into, "\\u{{{:x}}}", u32::from(control)).expect("a string takes everything");
            }
            char => into.push(char),
        }
    }
}
