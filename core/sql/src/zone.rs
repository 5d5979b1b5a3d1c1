//! Time zones: UTC, and fixed distances from it.

use tenet_types::{parse_offset, write_offset};

/// Furthest offset of a zone, exclusive, in seconds (Postgres: 15:59:59).
const OFFSET_SECONDS_MAX: i32 = 16 * 3600;

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
        Zone::fixed((hours * 3600.0).round() as i32)
    }

    fn fixed(offset_seconds: i32) -> Option<Zone> {
        if offset_seconds.abs() >= OFFSET_SECONDS_MAX {
            return None;
        }
        let (iso, posix) = (offset_text(offset_seconds), offset_text(-offset_seconds));
        // Zero has no sign that could be turned.
        let posix = if offset_seconds == 0 { "-00".to_owned() } else { posix };
        Some(Zone { name: format!("<{iso}>{posix}"), offset_seconds })
    }
}

fn offset_text(seconds: i32) -> String {
    let mut text = String::new();
    write_offset(&mut text, seconds).expect("a string takes all text");
    text
}
