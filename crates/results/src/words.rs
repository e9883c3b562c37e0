//! Numbers and names as people read them.

use crate::Arm;

/// An arm: "control", "student without NAME".
pub(crate) fn who(arm: Arm, lacks: Option<&str>) -> String {
    match lacks {
        Some(mark) => format!("student without {mark}"),
        None => arm.name().to_string(),
    }
}

/// A count of queries or tokens in at most a few characters: "300", "3 k", "1.5 k", "28.8 M". The space does not break.
pub(crate) fn queries(n: u64) -> String {
    let (scaled, suffix) = match n {
        1_000_000_000.. => (n as f64 / 1e9, "\u{a0}G"),
        1_000_000.. => (n as f64 / 1e6, "\u{a0}M"),
        1_000.. => (n as f64 / 1e3, "\u{a0}k"),
        _ => return n.to_string(),
    };
    let text = format!("{scaled:.2}");
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A p-value from its log10: "0.031", "4e-5", "1e-320".
pub(crate) fn p_value(log10_p: f64) -> String {
    if log10_p >= -2.5 {
        return format!("{:.2}", libm::pow(10f64, log10_p)).replacen("0.00", "<0.01", 1);
    }
    let exponent = log10_p.floor();
    let digit = libm::pow(10f64, log10_p - exponent).round();
    let (digit, exponent) = if digit >= 10.0 { (1.0, exponent + 1.0) } else { (digit, exponent) };
    format!("{digit}e{exponent}")
}

/// From here on numbers are written in powers of ten.
const PLAIN: f64 = 1e7;

/// Four significant digits without a tail of zeros; powers of ten outside 0.001 to 10,000,000.
pub(crate) fn number(x: f64) -> String {
    let magnitude = x.abs();
    if x == 0.0 {
        return "0".to_string();
    }
    if !(1e-3..PLAIN).contains(&magnitude) {
        return format!("{x:.2e}");
    }
    let decimals = (3 - libm::log10(magnitude).floor() as i32).clamp(0, 6) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// A value with its interval in little room, to one digit of the interval's half width: "2.30 (2.24\u{2013}2.31)". Without an interval the
/// value alone. Very large values in powers of ten: "2.30e11 (2.24e11\u{2013}2.31e11)".
pub(crate) fn compact(value: f64, ends: Option<(f64, f64)>) -> String {
    let Some((low, high)) = ends.filter(|(low, high)| high > low && low.is_finite() && high.is_finite()) else {
        return number(value);
    };
    if value.abs() >= PLAIN {
        return format!("{value:.2e} ({low:.2e}\u{2013}{high:.2e})");
    }
    let decimals = libm::log10(0.5 * (high - low)).floor();
    let decimals = (-decimals).clamp(0.0, 6.0) as usize;
    let dash = if low < 0.0 { " to " } else { "\u{2013}" };
    format!("{} ({}{dash}{})", fixed(value, decimals), fixed(low, decimals), fixed(high, decimals))
}

/// With `decimals` decimals, and no minus before a zero.
fn fixed(x: f64, decimals: usize) -> String {
    let text = format!("{x:.decimals$}");
    if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') { text.replace('-', "") } else { text }
}

/// "0.061 (0.048 to 0.074)".
pub(crate) fn ranged(value: f64, low: f64, high: f64) -> String {
    let decimals = decimals(0.5 * (high - low));
    format!("{} ({} to {})", fixed(value, decimals), fixed(low, decimals), fixed(high, decimals))
}

/// Decimals that show two digits of `half`.
fn decimals(half: f64) -> usize {
    if half > 0.0 && half.is_finite() { (1 - libm::log10(half).floor() as i32).clamp(0, 6) as usize } else { 3 }
}

/// A probability: "0.93", "< 0.01", "> 0.99".
pub(crate) fn probability(p: f64) -> String {
    match p {
        p if p < 0.01 => "<\u{a0}0.01".to_string(),
        p if p > 0.99 => ">\u{a0}0.99".to_string(),
        p => format!("{p:.2}"),
    }
}

/// Middle value; the mean of the two middle ones for an even count. `None` when empty.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(0.5 * (sorted[middle - 1] + sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_short_and_exact_for_round_numbers() {
        let cases = [(0, "0"), (300, "300"), (1_000, "1 k"), (1_500, "1.5 k"), (10_000, "10 k"), (400_000, "400 k")];
        for (n, text) in cases.into_iter().chain([(28_800_000, "28.8 M"), (1_000_000_000, "1 G")]) {
            assert_eq!(queries(n).replace('\u{a0}', " "), text);
        }
    }

    #[test]
    fn p_values_never_read_as_zero() {
        let cases = [
            (0.0, "1.00"),
            (-1.0, "0.10"),
            (-1.301, "0.05"),
            (-3.0, "1e-3"),
            (-4.398, "4e-5"),
            (-4.0001, "1e-4"),
            (-320.0, "1e-320"),
        ];
        for (log10_p, text) in cases.into_iter().chain([(-2.4, "<0.01")]) {
            let found = p_value(log10_p);
            assert_eq!(found, text, "{log10_p}");
            assert!(found != "0.00");
        }
    }

    #[test]
    fn numbers_keep_four_digits() {
        let cases =
            [(0.0, "0"), (2.3456789, "2.346"), (0.25, "0.25"), (1234.0, "1234"), (-0.012345, "-0.01235"), (3.2e12, "3.20e12")];
        for (x, text) in cases {
            assert_eq!(number(x), text);
        }
    }

    #[test]
    fn values_come_with_their_intervals() {
        assert_eq!(compact(2.2997, Some((2.2587, 2.3407))), "2.30 (2.26\u{2013}2.34)");
        assert_eq!(compact(4.0, Some((1.6, 7.7))), "4 (2\u{2013}8)");
        assert_eq!(compact(-0.0004, Some((-0.004, 0.2))), "0.0 (0.0 to 0.2)");
        assert_eq!(compact(0.25, None), "0.25");
        assert_eq!(compact(81_094_212_864.0, Some((8.0534e10, 8.207e10))), "8.11e10 (8.05e10\u{2013}8.21e10)");
        assert_eq!(compact(1.0, Some((1.0, 1.0))), "1");
        assert_eq!(ranged(0.0608, 0.0478, 0.0741), "0.061 (0.048 to 0.074)");
        assert_eq!(
            ["0.001", "0.5", "0.999"].map(|p| probability(p.parse().unwrap()).replace('\u{a0}', " ")),
            ["< 0.01", "0.50", "> 0.99"]
        );
    }

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
