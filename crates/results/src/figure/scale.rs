//! From data to panel coordinates.

/// Where the evidence axis turns from linear to logarithmic: below about this many decades of p the scale is nearly linear, so
/// that alpha and the noise of the controls stay readable beside students with p = 1e-300.
const EVIDENCE_KNEE: f64 = 1.5;

/// Up to this evidence a linear axis shows everything.
const LINEAR_EVIDENCE: f64 = 12.0;

/// Room below the lowest value, as a share of the axis, so that markers there are not cut by it.
const FLOOR: f64 = 0.035;

/// A vertical axis: values to heights between 0 (bottom) and 1 (top).
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub(crate) ticks: Vec<f64>,
    low: f64,
    high: f64,
    compress: bool,
    /// Values are powers of ten, given by their exponents.
    powers: bool,
}

impl Axis {
    /// -log10 p from 0 to a little above `max`: linear, or inverse hyperbolic sine when `max` is large.
    pub(crate) fn evidence(max: f64) -> Self {
        if max <= LINEAR_EVIDENCE {
            let high = max.max(4.0) * 1.08;
            return Self { low: -FLOOR * high, ..Self::linear(0.0, high) };
        }
        let ladder = (0..6).flat_map(|decade| [1.0, 3.0].map(|digit| digit * 10f64.powi(decade)));
        let ticks: Vec<f64> = std::iter::once(0.0).chain(ladder).filter(|&tick| tick <= max * 1.3).collect();
        let high = libm::asinh(max / EVIDENCE_KNEE) * 1.06;
        Self { ticks, low: -FLOOR * high, high, compress: true, powers: false }
    }

    /// From `low` to `high`, with four to seven round ticks inside.
    pub(crate) fn linear(low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { low.abs().max(1.0) };
        let raw = span / 5.0;
        let power = libm::pow(10f64, libm::log10(raw).floor());
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|&step| step >= 0.75 * raw).unwrap_or(10.0 * power);
        let first = (low / step).ceil() as i64;
        let ticks = (first..).map(|i| i as f64 * step).take_while(|&tick| tick <= low + span * 1.000_001).collect();
        Self { ticks, low, high: low + span, compress: false, powers: false }
    }

    /// Powers of ten from 10^`low` to 10^`high`, of which the exponents are given, with room below the lowest.
    pub(crate) fn decades(low: i32, high: i32) -> Self {
        let ticks = (low..=high).map(f64::from).collect();
        let (low, high) = (f64::from(low), f64::from(high.max(low + 1)));
        Self { ticks, low: low - FLOOR * (high - low), high, compress: false, powers: true }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.compress
    }

    /// Height of `value`; below 0 or above 1 if it is outside the axis.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let value = if self.compress { libm::asinh(value / EVIDENCE_KNEE) } else { value };
        (value - self.low) / (self.high - self.low)
    }

    /// A tick as text, with as many decimals as the ticks need.
    pub(crate) fn label(&self, tick: f64) -> String {
        if self.compress {
            return format!("{tick}");
        }
        if self.powers {
            return if tick >= -3.0 { format!("{}", libm::pow(10f64, tick)) } else { format!("1e{tick}") };
        }
        let step = self.ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
        let decimals = (0..8).find(|&d| (step * 10f64.powi(d) - (step * 10f64.powi(d)).round()).abs() < 1e-6).unwrap_or(8);
        let text = format!("{:.*}", decimals as usize, if tick.abs() < step * 1e-9 { 0.0 } else { tick });
        text.replace('-', "\u{2212}")
    }
}

/// The query axis: logarithmic from the smallest to the largest budget.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    all: Vec<u64>,
}

impl Budgets {
    /// `all` is sorted and made distinct.
    pub(crate) fn new(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        all.dedup();
        Self { all }
    }

    pub(crate) fn all(&self) -> &[u64] {
        &self.all
    }

    /// Powers of ten between the smallest and the largest budget.
    pub(crate) fn decades(&self) -> impl Iterator<Item = u64> {
        let (low, high) = (self.all.first().copied().unwrap_or(1), self.all.last().copied().unwrap_or(0));
        (0..19).map(|power| 10u64.pow(power)).filter(move |n| (low..=high).contains(n))
    }

    /// Place of a budget between 0 (left) and 1 (right); a lone one stands in the middle.
    pub(crate) fn at(&self, budget: u64) -> f64 {
        let log = |n: u64| libm::log(n.max(1) as f64);
        match (self.all.first(), self.all.last()) {
            (Some(&low), Some(&high)) if high > low => (log(budget) - log(low)) / (log(high) - log(low)),
            _ => 0.5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evidence_axis_rises_and_keeps_alpha_readable() {
        for max in [2.0, 11.9, 12.1, 48.0, 300.0, 5000.0] {
            let axis = Axis::evidence(max);
            let heights: Vec<f64> = (0..=100).map(|i| axis.at(max * f64::from(i) / 100.0)).collect();
            assert!(heights.windows(2).all(|pair| pair[0] < pair[1]), "{max}");
            assert!(heights[0] > 0.0 && heights[0] < 0.05);
            assert!(heights[100] <= 1.0 && (heights[100] > 0.85 || max < 4.0), "{max}: {}", heights[100]);
            assert!(axis.at(3.0) > 0.15, "{max}: {}", axis.at(3.0));
            assert!(axis.ticks.len() >= 3 && axis.ticks.len() <= 10, "{max}: {:?}", axis.ticks);
        }
    }

    #[test]
    fn linear_ticks_are_round_and_inside() {
        let axis = Axis::linear(-0.013, 0.061);
        assert_eq!(axis.ticks.iter().map(|&t| axis.label(t)).collect::<Vec<_>>(), ["0.00", "0.02", "0.04", "0.06"]);
        let axis = Axis::linear(-10.0, 10.0);
        assert_eq!(axis.label(axis.ticks[0]), "\u{2212}10");
        assert!(Axis::linear(5.0, 5.0).at(5.0).is_finite());
    }

    #[test]
    fn decades_are_named_by_their_powers() {
        let axis = Axis::decades(-5, 0);
        let labels: Vec<_> = axis.ticks.iter().map(|&tick| axis.label(tick)).collect();
        assert_eq!(labels, ["1e-5", "1e-4", "0.001", "0.01", "0.1", "1"]);
        let (low, middle, high) = (axis.at(-5.0), axis.at(-2.5), axis.at(0.0));
        assert!(
            low > 0.03 && low < 0.04 && high == 1.0 && (middle - 0.5 * (low + high)).abs() < 1e-12,
            "{low}, {middle}, {high}"
        );
    }

    #[test]
    fn budgets_are_spread_by_their_logarithm() {
        let axis = Budgets::new(vec![10_000, 100, 1_000, 1_000]);
        assert_eq!(axis.all(), [100, 1_000, 10_000]);
        assert!((axis.at(1_000) - 0.5).abs() < 1e-12);
        assert_eq!(Budgets::new(vec![300]).at(300), 0.5);
    }
}
