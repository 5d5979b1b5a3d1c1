//! Time and memory: how they are said, and what is left of them.

use std::time::Duration;

/// `30s`, `500ms`, `5m`, `1h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| "expected a time, for example 30s or 5m")?;
    let unit = match &text[end..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("`{other}` is no unit of time, expected ms, s, m or h")),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

/// `500M`, `4G`, `4GB`, `4GiB`; a bare number is bytes.
pub fn bytes(text: &str) -> Result<usize, String> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| "expected an amount of memory, for example 500M or 4G")?;
    let unit = match text[end..].to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0 * 1024.0 * 1024.0,
        other => return Err(format!("`{other}` is no unit of memory, expected K, M or G")),
    };
    Ok((number * unit) as usize)
}

/// For people: `3.0 GB`.
pub fn bytes_text(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KB", bytes / 1024),
        1_048_576..1_073_741_824 => format!("{} MB", bytes >> 20),
        _ => format!("{:.1} GB", bytes as f64 / (1u64 << 30) as f64),
    }
}

/// What this process holds now; nothing where the system does not say.
pub fn held() -> Option<usize> {
    kilobytes("/proc/self/status", "VmRSS:")
}

/// What could be had without harm.
pub fn free() -> Option<usize> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

fn kilobytes(file: &str, name: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<usize>().ok()?.checked_mul(1024)
}
