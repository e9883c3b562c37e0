//! The two ends of an interval.

use serde::{Deserialize, Serialize};

/// A closed interval, in the units of what it is an interval of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end, at least `low`.
    pub high: f64,
}

impl Interval {
    /// The interval moved by `offset`: that of a rate minus gamma from that of the rate.
    pub fn shifted(self, offset: f64) -> Interval {
        Interval { low: self.low + offset, high: self.high + offset }
    }

    /// Whether `value` lies within.
    pub fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

pub(super) fn check_level(level: f64) {
    assert!(level > 0.0 && level < 1.0, "level {level} of an interval is outside (0, 1)");
}
