//! timestamptz as text, in a zone of fixed offset: `2024-02-29 12:34:56.789+00`. Gregorian for all time, year 0 is 1 BC.

use std::fmt;

use super::{TextError, is_space};

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// Postgres' infinities are the ends of the range.
const INFINITY: i64 = i64::MAX;
const MINUS_INFINITY: i64 = i64::MIN;
/// 4713-11-24 BC, the first day of the Julian calendar's count and of Postgres' range, in days since 1970.
const FIRST_DAY: i64 = -2_440_588;
/// Furthest offset of a zone, in hours, as in Postgres.
const ZONE_HOURS_MAX: i64 = 15;

pub(super) fn write(out: &mut impl fmt::Write, us: i64, offset_seconds: i32) -> fmt::Result {
    if us == INFINITY {
        return out.write_str("infinity");
    }
    if us == MINUS_INFINITY {
        return out.write_str("-infinity");
    }
    let local = i128::from(us) + i128::from(offset_seconds) * 1_000_000;
    let (year, month, day) = civil_from_days(local.div_euclid(i128::from(DAY_US)) as i64);
    let in_day = local.rem_euclid(i128::from(DAY_US)) as i64;
    let (seconds, fraction) = (in_day / 1_000_000, in_day % 1_000_000);
    let shown = if year > 0 { year } else { 1 - year };
    write!(out, "{shown:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        write!(out, ".{}", digits.trim_end_matches('0'))?;
    }
    write_offset(out, offset_seconds)?;
    out.write_str(if year > 0 { "" } else { " BC" })
}

/// A zone's offset, in seconds east of Greenwich: `+HH`, with minutes and seconds where there are any.
pub fn write_offset(out: &mut impl fmt::Write, seconds: i32) -> fmt::Result {
    let (sign, s) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
    write!(out, "{sign}{:02}", s / 3600)?;
    if s % 3600 != 0 {
        write!(out, ":{:02}", s / 60 % 60)?;
    }
    if s % 60 != 0 {
        write!(out, ":{:02}", s % 60)?;
    }
    Ok(())
}

pub(super) fn parse(trimmed: &str, text: &str, offset_seconds: i32) -> Result<i64, TextError> {
    match trimmed.to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => return Ok(INFINITY),
        "-infinity" => return Ok(MINUS_INFINITY),
        "epoch" => return Ok(0),
        _ => {}
    }
    let fields = Cursor { rest: trimmed }.fields().ok_or_else(|| TextError::Timestamp { text: text.to_owned() })?;
    fields.to_us(text, offset_seconds)
}

/// The offset that [`write_offset`] wrote, or another form of it; `None` too for one further than any zone's.
pub fn parse_offset(text: &str) -> Option<i32> {
    let mut cursor = Cursor { rest: text };
    let zone = cursor.zone()??;
    cursor.rest.is_empty().then(|| zone.offset_seconds())?.and_then(|seconds| i32::try_from(seconds).ok())
}

/// What stands in the text, not yet checked.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    fraction_us: i64,
    /// `None`: the session's.
    zone: Option<Zone>,
    before_christ: bool,
}

/// An offset east of Greenwich.
#[derive(Default)]
struct Zone {
    west: bool,
    hours: i64,
    minutes: i64,
    seconds: i64,
}

impl Zone {
    /// `None` when no zone of Postgres' is so far.
    fn offset_seconds(&self) -> Option<i64> {
        let far = self.hours > ZONE_HOURS_MAX || self.minutes > 59 || self.seconds > 59;
        let seconds = self.hours * 3600 + self.minutes * 60 + self.seconds;
        (!far).then_some(if self.west { -seconds } else { seconds })
    }
}

impl Fields {
    fn to_us(&self, text: &str, session_offset: i32) -> Result<i64, TextError> {
        let field = || TextError::Field { text: text.to_owned() };
        let range = || TextError::TimestampRange { text: text.to_owned() };
        if self.year == 0 {
            return Err(field());
        }
        let year = if self.before_christ { 1 - self.year } else { self.year };
        if !(1..=12).contains(&self.month) || !(1..=days_in_month(year, self.month)).contains(&self.day) {
            return Err(field());
        }
        let midnight_next = self.hour == 24 && self.minute == 0 && self.second == 0 && self.fraction_us == 0;
        if (self.hour > 23 && !midnight_next) || self.minute > 59 || self.second > 60 {
            return Err(field());
        }
        let offset = match &self.zone {
            None => i64::from(session_offset),
            Some(zone) => zone.offset_seconds().ok_or_else(|| TextError::Displacement { text: text.to_owned() })?,
        };
        let days = days_from_civil(year, self.month, self.day);
        if days < FIRST_DAY {
            return Err(range());
        }
        let seconds = self.hour * 3600 + self.minute * 60 + self.second - offset;
        let us = i128::from(days) * i128::from(DAY_US) + i128::from(seconds * 1_000_000 + self.fraction_us);
        i64::try_from(us).ok().filter(|us| *us != INFINITY && *us != MINUS_INFINITY).ok_or_else(range)
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    /// `date [[T| ]time] [zone] [BC|AD]`, to the end.
    fn fields(mut self) -> Option<Fields> {
        let (year, month, day) = self.date()?;
        let (mut hour, mut minute, mut second, mut fraction_us) = (0, 0, 0, 0);
        let spaced = self.skip_spaces();
        let lettered = !spaced && (self.take("t") || self.take("T"));
        if (spaced || lettered) && self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            (hour, minute, second, fraction_us) = self.time()?;
        } else if lettered {
            return None;
        }
        self.skip_spaces();
        let zone = self.zone()?;
        self.skip_spaces();
        let before_christ = self.take_word("bc");
        if !before_christ {
            self.take_word("ad");
        }
        let done = self.rest.is_empty();
        done.then_some(Fields { year, month, day, hour, minute, second, fraction_us, zone, before_christ })
    }

    /// `2024-02-29`, or `20240229`.
    fn date(&mut self) -> Option<(i64, i64, i64)> {
        let first = self.digits()?;
        if self.take("-") {
            // Two digits would be a question of DateStyle; six hold every year in range.
            if first.len() < 3 || first.len() > 6 {
                return None;
            }
            let year = number(&first);
            let month = self.short_number()?;
            if !self.take("-") {
                return None;
            }
            return Some((year, month, self.short_number()?));
        }
        (first.len() == 8).then(|| (number(&first[..4]), number(&first[4..6]), number(&first[6..])))
    }

    /// `10:11[:12[.5]]`, or `101112[.5]`.
    fn time(&mut self) -> Option<(i64, i64, i64, i64)> {
        let first = self.digits()?;
        let (hour, minute, second);
        if first.len() == 6 {
            (hour, minute, second) = (number(&first[..2]), number(&first[2..4]), number(&first[4..]));
        } else {
            if first.len() > 2 || !self.take(":") {
                return None;
            }
            hour = number(&first);
            minute = self.short_number()?;
            if !self.take(":") {
                return Some((hour, minute, 0, 0));
            }
            second = self.short_number()?;
        }
        let fraction_us = if self.take(".") { self.fraction_us() } else { 0 };
        Some((hour, minute, second, fraction_us))
    }

    /// Rounded to microseconds as Postgres does it, through a float.
    fn fraction_us(&mut self) -> i64 {
        let digits = self.digits().unwrap_or_default();
        let fraction: f64 = format!("0.{digits}0").parse().expect("digits with a point");
        (fraction * 1e6).round_ties_even() as i64
    }

    /// `Z`, `UTC`, `GMT`, `+02`, `-0530`, `+05:30[:15]`, or nothing, which is `Some(None)`.
    fn zone(&mut self) -> Option<Option<Zone>> {
        if self.take_word("utc") || self.take_word("gmt") || self.take_word("zulu") || self.take_word("z") {
            return Some(Some(Zone::default()));
        }
        let west = self.rest.starts_with('-');
        if !west && !self.rest.starts_with('+') {
            return Some(None);
        }
        self.rest = &self.rest[1..];
        let digits = self.digits()?;
        let mut zone = Zone { west, ..Zone::default() };
        match digits.len() {
            1 | 2 => {
                zone.hours = number(&digits);
                if self.take(":") {
                    zone.minutes = self.short_number()?;
                    if self.take(":") {
                        zone.seconds = self.short_number()?;
                    }
                }
            }
            3 | 4 => {
                let (hours, minutes) = digits.split_at(digits.len() - 2);
                (zone.hours, zone.minutes) = (number(hours), number(minutes));
            }
            _ => return None,
        }
        Some(Some(zone))
    }

    fn digits(&mut self) -> Option<String> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!digits.is_empty()).then(|| digits.to_owned())
    }

    fn short_number(&mut self) -> Option<i64> {
        self.digits().filter(|d| d.len() <= 2).map(|d| number(&d))
    }

    fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A word in any case, not continued by another letter.
    fn take_word(&mut self, word: &str) -> bool {
        let end = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        let found = self.rest[..end].eq_ignore_ascii_case(word);
        if found {
            self.rest = &self.rest[end..];
        }
        found
    }

    fn skip_spaces(&mut self) -> bool {
        let rest = self.rest.trim_start_matches(is_space);
        let skipped = rest.len() < self.rest.len();
        self.rest = rest;
        skipped
    }
}

/// At most eight digits reach this.
fn number(digits: &str) -> i64 {
    digits.bytes().fold(0, |n, b| n * 10 + i64::from(b - b'0'))
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01. Counts from March, so that the leap day is the year's last (Hinnant, "chrono-compatible low-level
/// date algorithms").
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
