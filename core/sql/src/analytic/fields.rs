//! Fields of a moment, and where a unit of the calendar begins, as a clock in a zone shows them.

use tenet_types::{civil_from_days, days_from_civil};

use crate::zone::Zone;
use crate::{SqlError, SqlState};

const DAY_US: i64 = 86_400_000_000;
/// The two moments outside of the calendar.
const INFINITY: i64 = i64::MAX;
const MINUS_INFINITY: i64 = i64::MIN;

/// A field of a moment, or the precision to which one is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    /// Sunday is 0.
    DayOfWeek,
    /// Monday is 1.
    IsoDayOfWeek,
    DayOfYear,
    /// The year that the ISO week belongs to.
    IsoYear,
    Epoch,
    /// The zone's offset, in seconds.
    Timezone,
}

impl Unit {
    pub fn named(name: &str) -> Result<Unit, SqlError> {
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" => Unit::Microseconds,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" => Unit::Milliseconds,
            "second" | "seconds" | "s" | "sec" | "secs" => Unit::Second,
            "minute" | "minutes" | "m" | "min" | "mins" => Unit::Minute,
            "hour" | "hours" | "h" | "hr" | "hrs" => Unit::Hour,
            "day" | "days" | "d" => Unit::Day,
            "week" | "weeks" | "w" => Unit::Week,
            "month" | "months" | "mon" | "mons" => Unit::Month,
            "quarter" | "qtr" => Unit::Quarter,
            "year" | "years" | "y" | "yr" | "yrs" => Unit::Year,
            "decade" | "decades" | "dec" | "decs" => Unit::Decade,
            "century" | "centuries" | "c" | "cent" => Unit::Century,
            "millennium" | "millennia" | "mil" | "mils" => Unit::Millennium,
            "dow" => Unit::DayOfWeek,
            "isodow" => Unit::IsoDayOfWeek,
            "doy" => Unit::DayOfYear,
            "isoyear" => Unit::IsoYear,
            "epoch" => Unit::Epoch,
            "timezone" => Unit::Timezone,
            _ => {
                let text = format!("unit \"{name}\" not recognized for type timestamp with time zone");
                return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, text));
            }
        })
    }
}

/// Days since 1970-01-01 and microseconds of the day, as a clock in the zone shows them.
fn local(us: i64, zone: &Zone) -> (i64, i64) {
    let local = i128::from(us) + i128::from(zone.offset_seconds) * 1_000_000;
    (local.div_euclid(i128::from(DAY_US)) as i64, local.rem_euclid(i128::from(DAY_US)) as i64)
}

/// The Monday of the day's week.
fn monday(days: i64) -> i64 {
    // The first of January 1970 was a Thursday.
    days - (days + 3).rem_euclid(7)
}

/// Of that year, the Monday of the week that has its first Thursday.
fn first_monday(year: i64) -> i64 {
    monday(days_from_civil(year, 1, 4))
}

fn iso_year(days: i64) -> i64 {
    // The Thursday decides.
    civil_from_days(monday(days) + 3).0
}

/// Years in groups of so many, whose first year is 1 (AD and BC alike): the number of the group that the year is in.
fn group(year: i64, years: i64) -> i64 {
    if year > 0 { (year + years - 1) / years } else { -((years - year) / years) }
}

/// A field. Of the moments outside of the calendar, what grows for ever is infinite, and the rest is not known.
pub fn part(us: i64, unit: Unit, zone: &Zone) -> Option<f64> {
    if us == INFINITY || us == MINUS_INFINITY {
        let grows =
            matches!(unit, Unit::Year | Unit::IsoYear | Unit::Decade | Unit::Century | Unit::Millennium | Unit::Epoch);
        return grows.then_some(if us == INFINITY { f64::INFINITY } else { f64::NEG_INFINITY });
    }
    let (days, of_day) = local(us, zone);
    let (year, month, day) = civil_from_days(days);
    // There is no year 0.
    let shown = |year: i64| if year > 0 { year } else { year - 1 };
    Some(match unit {
        Unit::Microseconds => (of_day % 60_000_000) as f64,
        Unit::Milliseconds => (of_day % 60_000_000) as f64 / 1e3,
        Unit::Second => (of_day % 60_000_000) as f64 / 1e6,
        Unit::Minute => (of_day / 60_000_000 % 60) as f64,
        Unit::Hour => (of_day / 3_600_000_000) as f64,
        Unit::Day => day as f64,
        Unit::Week => ((days - first_monday(iso_year(days))) / 7 + 1) as f64,
        Unit::Month => month as f64,
        Unit::Quarter => ((month + 2) / 3) as f64,
        Unit::Year => shown(year) as f64,
        Unit::IsoYear => shown(iso_year(days)) as f64,
        Unit::Decade => year.div_euclid(10) as f64,
        Unit::Century => group(year, 100) as f64,
        Unit::Millennium => group(year, 1000) as f64,
        Unit::DayOfWeek => (days + 4).rem_euclid(7) as f64,
        Unit::IsoDayOfWeek => ((days + 3).rem_euclid(7) + 1) as f64,
        Unit::DayOfYear => (days - days_from_civil(year, 1, 1) + 1) as f64,
        Unit::Epoch => us as f64 / 1e6,
        Unit::Timezone => f64::from(zone.offset_seconds),
    })
}

/// The beginning of the unit that the moment is in.
pub fn trunc(us: i64, unit: Unit, zone: &Zone) -> Result<i64, SqlError> {
    if us == INFINITY || us == MINUS_INFINITY {
        return Ok(us);
    }
    let (days, of_day) = local(us, zone);
    let (year, month, _) = civil_from_days(days);
    let first_of = |year: i64| (days_from_civil(year, 1, 1), 0);
    // The first year of a group; before Christ groups are counted backwards.
    let first_year = |years: i64| {
        let group = group(year, years);
        if group > 0 { (group - 1) * years + 1 } else { group * years + 1 }
    };
    let (days, of_day) = match unit {
        Unit::Microseconds => (days, of_day),
        Unit::Milliseconds => (days, of_day - of_day % 1_000),
        Unit::Second => (days, of_day - of_day % 1_000_000),
        Unit::Minute => (days, of_day - of_day % 60_000_000),
        Unit::Hour => (days, of_day - of_day % 3_600_000_000),
        Unit::Day => (days, 0),
        Unit::Week => (monday(days), 0),
        Unit::Month => (days_from_civil(year, month, 1), 0),
        Unit::Quarter => (days_from_civil(year, (month - 1) / 3 * 3 + 1, 1), 0),
        Unit::Year => first_of(year),
        Unit::Decade => first_of(year.div_euclid(10) * 10),
        Unit::Century => first_of(first_year(100)),
        Unit::Millennium => first_of(first_year(1000)),
        Unit::DayOfWeek | Unit::IsoDayOfWeek | Unit::DayOfYear | Unit::IsoYear | Unit::Epoch | Unit::Timezone => {
            let text = "a timestamp with time zone cannot be truncated to this unit";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, text));
        }
    };
    let us = i128::from(days) * i128::from(DAY_US) + i128::from(of_day) - i128::from(zone.offset_seconds) * 1_000_000;
    i64::try_from(us)
        .ok()
        .filter(|_| days >= days_from_civil(-4713, 11, 24))
        .ok_or_else(|| SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))
}
