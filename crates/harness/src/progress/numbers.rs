//! Amounts and times as people read them.

/// A count for people: three digits and a unit prefix.
pub fn count(x: f64) -> String {
    let (scaled, prefix) = match x.abs() {
        size if size >= 1e15 => return format!("{x:.2e}"),
        size if size >= 1e12 => (x / 1e12, " T"),
        size if size >= 1e9 => (x / 1e9, " G"),
        size if size >= 1e6 => (x / 1e6, " M"),
        size if size >= 1e4 => (x / 1e3, " k"),
        _ => return format!("{x:.0}"),
    };
    if scaled.abs() < 10.0 {
        format!("{scaled:.2}{prefix}")
    } else if scaled.abs() < 100.0 {
        format!("{scaled:.1}{prefix}")
    } else {
        format!("{scaled:.0}{prefix}")
    }
}

/// A duration for people.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
        s if s < 172_800.0 => format!("{:.0} h {:.0} min", (s / 3600.0).floor(), (s % 3600.0) / 60.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}
