//! `timestamp with time zone`: microseconds since the Unix epoch, read and written in a zone of fixed offset.
//!
//! Text is ISO 8601 as Postgres writes it. The calendar is proleptic Gregorian; year 0 is 1 BC.

use crate::error::{SqlError, SqlState};

/// Postgres' first day: 24 November 4714 BC.
const FIRST_DAY: i64 = days_from_civil(-4713, 11, 24);

const DAY_US: i64 = 86_400_000_000;

/// Text and value of the two moments outside of the calendar.
const INFINITY: i64 = i64::MAX;
const MINUS_INFINITY: i64 = i64::MIN;

/// Furthest offset of a zone, exclusive, in seconds (Postgres: 15:59:59).
const OFFSET_SECONDS_MAX: i64 = 16 * 3600;

/// A time zone: UTC, or a fixed distance from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Zone {
    /// As SHOW prints it.
    pub name: String,
    /// East of Greenwich.
    pub offset_seconds: i32,
}

impl Zone {
    pub fn utc() -> Zone {
        Zone { name: "UTC".to_owned(), offset_seconds: 0 }
    }

    /// `None` for the many names that are not known here.
    pub fn named(name: &str) -> Option<Zone> {
        const UTC_NAMES: [&str; 8] = ["UTC", "GMT", "Etc/UTC", "Etc/GMT", "UCT", "Zulu", "Universal", "Greenwich"];
        let name = name.trim();
        if let Some(known) = UTC_NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            return Some(Zone { name: (*known).to_owned(), offset_seconds: 0 });
        }
        // As SHOW prints an offset: <+02>-02.
        if let Some((iso, _)) = name.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            return parse_offset(iso).and_then(Zone::fixed).filter(|zone| zone.name == name);
        }
        // A number is hours east of Greenwich; anything with a colon would be read with the opposite sign (POSIX): refused.
        let hours: f64 = name.parse().ok().filter(|hours: &f64| hours.is_finite() && hours.abs() < 16.0)?;
        Zone::fixed((hours * 3600.0).round() as i64)
    }

    fn fixed(offset_seconds: i64) -> Option<Zone> {
        let offset_seconds = i32::try_from(offset_seconds).ok().filter(|s| i64::from(s.abs()) < OFFSET_SECONDS_MAX)?;
        let (iso, posix) = (offset_text(offset_seconds), offset_text(-offset_seconds));
        // Zero has no sign that could be turned.
        let posix = if offset_seconds == 0 { "-00".to_owned() } else { posix };
        Some(Zone { name: format!("<{iso}>{posix}"), offset_seconds })
    }
}

/// `+HH`, with minutes and seconds where there are any.
fn offset_text(seconds: i32) -> String {
    let (sign, s) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    let mut text = format!("{sign}{:02}", s / 3600);
    if s % 3600 != 0 {
        text += &format!(":{:02}", s / 60 % 60);
    }
    if s % 60 != 0 {
        text += &format!(":{:02}", s % 60);
    }
    text
}

pub(crate) fn output(us: i64, zone: &Zone) -> String {
    match us {
        INFINITY => return "infinity".to_owned(),
        MINUS_INFINITY => return "-infinity".to_owned(),
        _ => {}
    }
    let local = i128::from(us) + i128::from(zone.offset_seconds) * 1_000_000;
    let days = local.div_euclid(i128::from(DAY_US)) as i64;
    let of_day = local.rem_euclid(i128::from(DAY_US)) as i64;
    let (year, month, day) = civil_from_days(days);
    let (shown_year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let fraction = match micros {
        0 => String::new(),
        _ => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    };
    format!(
        "{shown_year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}{fraction}{}{era}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        offset_text(zone.offset_seconds),
    )
}

/// What can be wrong with a text.
enum Flaw {
    Syntax,
    Field,
    Zone,
    Range,
}

pub(crate) fn input(text: &str, zone: &Zone) -> Result<i64, SqlError> {
    parse(text, zone).map_err(|flaw| match flaw {
        Flaw::Syntax => SqlError::new(
            SqlState::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type timestamp with time zone: \"{text}\""),
        ),
        Flaw::Field => {
            SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("date/time field value out of range: \"{text}\""))
        }
        Flaw::Zone => SqlError::new(SqlState("22009"), format!("time zone displacement out of range: \"{text}\"")),
        Flaw::Range => SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("timestamp out of range: \"{text}\"")),
    })
}

fn parse(text: &str, zone: &Zone) -> Result<i64, Flaw> {
    let text = text.trim().to_ascii_lowercase();
    match text.as_str() {
        "infinity" | "+infinity" => return Ok(INFINITY),
        "-infinity" => return Ok(MINUS_INFINITY),
        "epoch" => return Ok(0),
        _ => {}
    }
    let (text, before_christ) = match text.strip_suffix("bc") {
        Some(rest) => (rest.trim_end(), true),
        None => (text.strip_suffix("ad").unwrap_or(&text).trim_end(), false),
    };
    // The date: three numbers with dashes. A year has four digits or more.
    let date_end = text.find([' ', 't']).unwrap_or(text.len());
    let mut date = text[..date_end].split('-');
    let (Some(year), Some(month), Some(day), None) = (date.next(), date.next(), date.next(), date.next()) else {
        return Err(Flaw::Syntax);
    };
    let (year_digits, year, month, day) = (year.len(), number(year, 7)?, number(month, 2)?, number(day, 2)?);
    if year_digits < 4 {
        return Err(Flaw::Syntax);
    }
    if year == 0 || !(1..=12).contains(&month) || day < 1 {
        return Err(Flaw::Field);
    }
    let year = if before_christ { 1 - year } else { year };
    if day > days_in_month(year, month) {
        return Err(Flaw::Field);
    }
    let rest = text[date_end..].trim_start_matches(['t', ' ']);
    let (of_day, offset_seconds) = parse_time(rest, zone)?;
    let days = days_from_civil(year, month, day);
    if days < FIRST_DAY {
        return Err(Flaw::Range);
    }
    let us = i128::from(days) * i128::from(DAY_US) + i128::from(of_day) - i128::from(offset_seconds) * 1_000_000;
    i64::try_from(us).ok().filter(|us| *us < INFINITY && *us > MINUS_INFINITY).ok_or(Flaw::Range)
}

/// `HH:MM[:SS[.ffffff]] [zone]`: microseconds of the day, and the zone's offset.
fn parse_time(text: &str, zone: &Zone) -> Result<(i64, i64), Flaw> {
    let clock_end = text.find(|c: char| !matches!(c, '0'..='9' | ':' | '.')).unwrap_or(text.len());
    let (clock, zone_text) = (&text[..clock_end], text[clock_end..].trim());
    let offset_seconds = match zone_text {
        "" => i64::from(zone.offset_seconds),
        "z" | "utc" | "gmt" | "zulu" => 0,
        _ => {
            let offset = parse_offset(zone_text).ok_or(Flaw::Syntax)?;
            if offset.abs() >= OFFSET_SECONDS_MAX {
                return Err(Flaw::Zone);
            }
            offset
        }
    };
    if clock.is_empty() {
        return Ok((0, offset_seconds));
    }
    let mut parts = clock.split(':');
    let (Some(hour), Some(minute)) = (parts.next(), parts.next()) else { return Err(Flaw::Syntax) };
    let (second, fraction) = parts.next().map_or(("0", ""), |s| s.split_once('.').unwrap_or((s, "")));
    if parts.next().is_some() {
        return Err(Flaw::Syntax);
    }
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    let micros = if fraction.is_empty() {
        0
    } else if fraction.bytes().all(|b| b.is_ascii_digit()) {
        let fraction: f64 = format!("0.{fraction}").parse().map_err(|_| Flaw::Syntax)?;
        (fraction * 1e6).round_ties_even() as i64
    } else {
        return Err(Flaw::Syntax);
    };
    let midnight_after = hour == 24 && minute == 0 && second == 0 && micros == 0;
    // Second 60 is the next minute's first, as in Postgres.
    if minute > 59 || second > 60 || (hour > 23 && !midnight_after) || (second == 60 && micros > 0) {
        return Err(Flaw::Field);
    }
    Ok((((hour * 60 + minute) * 60 + second) * 1_000_000 + micros, offset_seconds))
}

/// `±H`, `±HH`, `±HHMM`, `±HH:MM[:SS]`: seconds east of Greenwich.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let parts: Vec<&str> = match digits.len() {
        4 if !digits.contains(':') && digits.is_ascii() => vec![&digits[..2], &digits[2..]],
        _ => digits.split(':').collect(),
    };
    let mut seconds = 0;
    for (part, unit) in parts.iter().zip([3600, 60, 1]) {
        let n = number(part, 2).ok()?;
        if unit < 3600 && n > 59 {
            return None;
        }
        seconds += n * unit;
    }
    (parts.len() <= 3).then_some(sign * seconds)
}

fn number(digits: &str, digits_max: usize) -> Result<i64, Flaw> {
    if digits.is_empty() || digits.len() > digits_max || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Flaw::Syntax);
    }
    digits.parse().map_err(|_| Flaw::Syntax)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}
