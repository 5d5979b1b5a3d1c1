//! A session's settings: SET, SHOW, RESET, and the startup packet's options.
//!
//! A setting that is taken is honoured. One that Postgres has and we could not honour is refused, unless its only effect
//! would be on speed or on messages; those are listed as such. Values are kept as SHOW prints them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{SqlError, SqlState};
use crate::text::Formats;
use crate::zone::Zone;

/// Postgres' version that clients are told: what psql and drivers choose their catalog queries by.
pub(crate) const SERVER_VERSION: &str = "16.0";
const SERVER_VERSION_NUM: &str = "160000";

/// Reported to the client at the start and whenever they change, as Postgres reports them.
const REPORTED: [&str; 14] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "scram_iterations",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// How a setting may change.
#[derive(Clone, Copy)]
enum Kind {
    /// Any text.
    Text,
    /// The default and nothing else, in any of these spellings.
    Only(&'static [&'static str]),
    /// Never.
    ReadOnly,
    /// Any of these: they change nothing that a client could see but messages or speed.
    Any(&'static [&'static str]),
    Bool,
    FloatDigits,
    Zone,
    /// Milliseconds, with a unit if wished.
    Duration,
    /// Only zero: we have nothing that it could bound.
    NoDuration,
    Isolation,
    Encoding,
    DateStyle,
}

struct Known {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
}

const fn known(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Known {
    Known { name, default, kind, description }
}

const MESSAGES: &[&str] = &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];

/// By name, as SHOW ALL lists them.
const KNOWN: [Known; 30] = [
    known("application_name", "", Kind::Text, "Name of the application, for logs."),
    known("bytea_output", "hex", Kind::Only(&["hex"]), "Output format of bytea."),
    known("client_encoding", "UTF8", Kind::Encoding, "Character set of the client."),
    known("client_min_messages", "notice", Kind::Any(MESSAGES), "Least severe message sent to the client."),
    known("DateStyle", "ISO, MDY", Kind::DateStyle, "Display format of dates and times."),
    known("default_transaction_isolation", "serializable", Kind::Isolation, "Isolation level of new transactions."),
    known("default_transaction_read_only", "off", Kind::Bool, "Whether new transactions may not write."),
    known("extra_float_digits", "1", Kind::FloatDigits, "Digits shown of floating-point numbers."),
    known(
        "idle_in_transaction_session_timeout",
        "0",
        Kind::NoDuration,
        "Longest idle time in a transaction; not bounded.",
    ),
    known("in_hot_standby", "off", Kind::ReadOnly, "Whether the server only reads."),
    known("integer_datetimes", "on", Kind::ReadOnly, "Whether times are integers."),
    known("IntervalStyle", "postgres", Kind::Only(&["postgres"]), "Display format of intervals."),
    known("is_superuser", "on", Kind::ReadOnly, "Whether the user may do everything."),
    known("jit", "off", Kind::Any(&["on", "off"]), "Has no effect."),
    known("lock_timeout", "0", Kind::NoDuration, "Longest wait for a lock; there are none."),
    known("max_identifier_length", "63", Kind::ReadOnly, "Longest identifier, in bytes."),
    known("row_security", "on", Kind::Only(&["on"]), "Row security; there are no policies."),
    known("scram_iterations", "4096", Kind::ReadOnly, "Iterations of SCRAM."),
    known(
        "search_path",
        "\"$user\", public",
        Kind::Only(&["\"$user\", public", "public", "$user, public"]),
        "Schemas.",
    ),
    known("server_encoding", "UTF8", Kind::ReadOnly, "Character set of the server."),
    known("server_version", SERVER_VERSION, Kind::ReadOnly, "Version of Postgres that is spoken."),
    known("server_version_num", SERVER_VERSION_NUM, Kind::ReadOnly, "The same as a number."),
    known("session_authorization", "", Kind::ReadOnly, "The user."),
    known("standard_conforming_strings", "on", Kind::Only(&["on"]), "Backslashes in strings are plain characters."),
    known("statement_timeout", "0", Kind::Duration, "Longest time of a statement."),
    known("synchronous_commit", "on", Kind::Only(&["on"]), "A commit waits until it is durable."),
    known("TimeZone", "UTC", Kind::Zone, "Time zone of display and input."),
    known("transaction_isolation", "serializable", Kind::Isolation, "Isolation level of the transaction."),
    known("transaction_read_only", "off", Kind::Bool, "Whether the transaction may not write."),
    known("xmloption", "content", Kind::Only(&["content"]), "Has no effect."),
];

/// Every name as it is spelt, and whether SET takes it.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, bool)> {
    KNOWN.iter().map(|known| (known.name, !matches!(known.kind, Kind::ReadOnly)))
}

/// The settings of one session.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// By lower-case name, only where they differ from `resets`.
    values: BTreeMap<String, String>,
    /// What RESET goes back to: the startup packet's.
    resets: BTreeMap<String, String>,
    user: String,
    formats: Formats,
    statement_timeout: Option<Duration>,
}

fn find(name: &str) -> Option<&'static Known> {
    // Postgres' names fold; two have a space in SQL.
    let name = match name.to_ascii_lowercase().as_str() {
        "time zone" | "timezone" => "TimeZone",
        "names" => "client_encoding",
        "transaction isolation level" => "transaction_isolation",
        "session authorization" => "session_authorization",
        _ => name,
    };
    KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

fn unrecognized(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

/// A name with a dot that is nobody's: an application's own, kept as it is (Postgres: a placeholder).
fn is_custom(name: &str) -> bool {
    name.contains('.') && !name.to_ascii_lowercase().starts_with("tenet.")
}

impl Settings {
    pub(crate) fn new(user: &str) -> Settings {
        Settings {
            values: BTreeMap::new(),
            resets: BTreeMap::new(),
            user: user.to_owned(),
            formats: Formats::default(),
            statement_timeout: None,
        }
    }

    /// Takes a startup option: RESET will come back to it.
    pub(crate) fn start(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        self.set(name, value)?;
        let key = key(name);
        if let Some(value) = self.values.remove(&key) {
            self.resets.insert(key, value);
        }
        Ok(())
    }

    pub(crate) fn formats(&self) -> &Formats {
        &self.formats
    }

    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout
    }

    pub(crate) fn default_read_only(&self) -> bool {
        self.get("default_transaction_read_only").as_deref() == Some("on")
    }

    /// As SHOW prints it. `None` for a name that is nobody's.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let key = key(name);
        if key == "session_authorization" {
            return Some(self.user.clone());
        }
        let set = self.values.get(&key).or_else(|| self.resets.get(&key)).cloned();
        set.or_else(|| find(name).map(|known| known.default.to_owned()))
    }

    /// The name as it is spelt.
    pub(crate) fn spelling(name: &str) -> String {
        find(name).map_or_else(|| name.to_ascii_lowercase(), |known| known.name.to_owned())
    }

    pub(crate) fn show(&self, name: &str) -> Result<String, SqlError> {
        self.get(name).ok_or_else(|| unrecognized(name))
    }

    /// Name, value and description of each.
    pub(crate) fn show_all(&self) -> Vec<(String, String, String)> {
        let own = KNOWN.iter().map(|known| {
            (known.name.to_owned(), self.get(known.name).unwrap_or_default(), known.description.to_owned())
        });
        own.collect()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        let Some(known) = find(name) else {
            if is_custom(name) {
                self.values.insert(key(name), value.to_owned());
                return Ok(());
            }
            return Err(unrecognized(name));
        };
        let shown = check(known, value)?;
        match known.kind {
            Kind::FloatDigits => {
                self.formats.extra_float_digits = shown.parse().map_err(|_| invalid(known, value))?;
            }
            Kind::Zone => self.formats.zone = Zone::named(&shown).ok_or_else(|| invalid(known, value))?,
            Kind::Duration => self.statement_timeout = parse_duration(&shown).filter(|d| !d.is_zero()),
            Kind::Text
            | Kind::Only(_)
            | Kind::ReadOnly
            | Kind::Any(_)
            | Kind::Bool
            | Kind::NoDuration
            | Kind::Isolation
            | Kind::Encoding
            | Kind::DateStyle => {}
        }
        self.values.insert(key(name), shown);
        Ok(())
    }

    pub(crate) fn reset(&mut self, name: &str) -> Result<(), SqlError> {
        let key = key(name);
        let back = self.resets.get(&key).cloned();
        match (back, find(name)) {
            (Some(back), _) => self.set(name, &back)?,
            (None, Some(known)) => {
                if matches!(known.kind, Kind::ReadOnly) {
                    return Err(read_only(known));
                }
                self.set(name, known.default)?;
            }
            (None, None) if is_custom(name) => {}
            (None, None) => return Err(unrecognized(name)),
        }
        self.values.remove(&key);
        Ok(())
    }

    pub(crate) fn reset_all(&mut self) {
        let (resets, user) = (std::mem::take(&mut self.resets), std::mem::take(&mut self.user));
        *self = Settings::new(&user);
        for (name, value) in resets {
            self.start(&name, &value).expect("it was taken when the session began");
        }
    }

    /// What the client is told at the start: name and value.
    pub(crate) fn reported(&self) -> BTreeMap<String, String> {
        REPORTED.iter().map(|name| ((*name).to_owned(), self.get(name).unwrap_or_default())).collect()
    }
}

fn key(name: &str) -> String {
    Settings::spelling(name).to_ascii_lowercase()
}

fn invalid(known: &Known, value: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{}\": \"{value}\"", known.name),
    )
}

fn read_only(known: &Known) -> SqlError {
    SqlError::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, format!("parameter \"{}\" cannot be changed", known.name))
}

/// The value as SHOW will print it.
fn check(known: &Known, value: &str) -> Result<String, SqlError> {
    let lower = value.trim().to_ascii_lowercase();
    let refused = |hint: &str| invalid(known, value).hint(hint);
    match known.kind {
        Kind::Text => Ok(value.to_owned()),
        Kind::ReadOnly => Err(read_only(known)),
        Kind::Only(spellings) if spellings.contains(&lower.as_str()) => Ok(known.default.to_owned()),
        Kind::Only(_) if known.default == "on" && parse_bool(&lower) == Some(true) => Ok("on".to_owned()),
        Kind::Only(_) => Err(SqlError::unsupported(format!("the value \"{value}\" of parameter \"{}\"", known.name))),
        Kind::Any(values) => match (values.contains(&lower.as_str()), parse_bool(&lower)) {
            (true, _) => Ok(lower),
            (false, Some(v)) if values.contains(&"on") => Ok(if v { "on" } else { "off" }.to_owned()),
            _ => Err(invalid(known, value)),
        },
        Kind::Bool => match parse_bool(&lower) {
            Some(v) => Ok(if v { "on" } else { "off" }.to_owned()),
            None => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("parameter \"{}\" requires a Boolean value", known.name),
            )),
        },
        Kind::FloatDigits => match lower.parse::<i32>() {
            Ok(digits @ -15..=3) => Ok(digits.to_string()),
            Ok(digits) => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("{digits} is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)"),
            )),
            Err(_) => Err(invalid(known, value)),
        },
        Kind::Zone => match lower.as_str() {
            "local" | "default" => Ok(known.default.to_owned()),
            _ => Zone::named(value)
                .map(|zone| zone.name)
                .ok_or_else(|| refused("Only UTC and numbers of hours from it are known.")),
        },
        Kind::Duration => parse_duration(&lower).map(show_duration).ok_or_else(|| invalid(known, value)),
        Kind::NoDuration => match parse_duration(&lower) {
            Some(Duration::ZERO) => Ok("0".to_owned()),
            Some(_) => Err(SqlError::unsupported(format!("a bound by parameter \"{}\"", known.name))),
            None => Err(invalid(known, value)),
        },
        // Weaker levels are taken and run as the strongest, which keeps all that they promise.
        Kind::Isolation => match lower.as_str() {
            "serializable" | "repeatable read" | "read committed" | "read uncommitted" => Ok("serializable".to_owned()),
            _ => Err(invalid(known, value)),
        },
        Kind::Encoding => match lower.replace(['-', '_'], "").as_str() {
            "utf8" | "unicode" => Ok("UTF8".to_owned()),
            _ => Err(refused("Only UTF8 is known.")),
        },
        Kind::DateStyle => {
            let words: Vec<&str> = lower.split(',').map(str::trim).collect();
            let day_orders = ["mdy", "us", "noneuro", "noneuropean"];
            match words.iter().all(|word| *word == "iso" || day_orders.contains(word) || *word == "default") {
                true => Ok(known.default.to_owned()),
                false => {
                    Err(SqlError::unsupported(format!("DateStyle \"{value}\"")).hint("Dates are shown as ISO, MDY."))
                }
            }
        }
    }
}

fn parse_bool(lower: &str) -> Option<bool> {
    match lower {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// Milliseconds, or a number with a unit.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = (text[..unit_at].parse::<f64>().ok()?, text[unit_at..].trim());
    let unit_ms = match unit {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let ms = (number * unit_ms).round();
    (ms <= f64::from(i32::MAX)).then(|| Duration::from_millis(ms as u64))
}

/// In the greatest unit that divides it, as Postgres does.
fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")];
    match units.iter().find(|(size, _)| ms > 0 && ms.is_multiple_of(*size)) {
        Some((size, unit)) => format!("{}{unit}", ms / size),
        None => "0".to_owned(),
    }
}
