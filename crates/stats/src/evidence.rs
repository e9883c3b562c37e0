//! What a test says.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{
    evalue::BinomialEProcess,
    interval::{Interval, clopper_pearson},
    monte_carlo,
    null::{Null, NullLaw},
    tail::log10_binomial_sf,
};

/// What one test of one mark on one suspect says.
///
/// Made by [`Evidence::of_scores`], [`Evidence::new`] or [`Evidence::binomial`] and the `with_` methods, which refuse NaN and keep every log10 p finite
/// and at most 0; reading one from a file checks the p-values too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The observed statistic, in the units its null law is stated in; larger is more evidence.
    pub statistic: f64,
    /// Effect per unit, which does not depend on how many units were scored: rate minus gamma, mean score minus 1, bits of exposure.
    pub effect: f64,
    /// 95 % interval of the effect.
    pub interval: Interval,
    /// Number of scored units.
    pub n: u64,
    /// The null law, in words and as numbers.
    pub null: NullLaw,
    /// log10 of the exact p-value: finite, at most 0.
    #[serde(deserialize_with = "log10_p")]
    pub log10_p: f64,
    /// log10 of the p-value among decoy keys, (1 + decoys at or above) / (1 + decoys); None where there is no key.
    #[serde(default, deserialize_with = "optional_log10_p")]
    pub log10_p_decoy: Option<f64>,
    /// Number of decoy keys tried.
    pub decoys: u64,
    /// Statistic in standard deviations of the decoys' above their mean; None without decoys or when they do not vary.
    pub z_decoy: Option<f64>,
    /// log10 of the e-value after all units; None when the test has no e-process.
    pub log10_e: Option<f64>,
    /// Units after which the e-process first reached 1 / alpha; None when it never did, or there is none.
    pub units_to_detect: Option<u64>,
}

/// Why numbers were refused as evidence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvidenceError {
    /// A field is NaN or infinite: the model measured has probably diverged.
    #[error("{field} of the evidence is {value}, expected a finite number")]
    NotFinite {
        /// Name of the field.
        field: &'static str,
        /// What it was.
        value: f64,
    },
    /// A log10 p clearly above 0.
    #[error("{field} of the evidence is {value}, expected the log10 of a p-value, at most 0")]
    AboveOne {
        /// Name of the field.
        field: &'static str,
        /// What it was.
        value: f64,
    },
}

/// Rounding may leave the log10 of a sum of terms this far above 0; more is a defect of the test.
const ROUNDING: f64 = 1e-9;

impl Evidence {
    /// Evidence without decoys or e-value. A `log10_p` above 0 by rounding becomes 0.
    ///
    /// # Errors
    /// When a number is NaN or infinite, or `log10_p` is above 0 by more than 1e-9.
    pub fn new(
        statistic: f64,
        effect: f64,
        interval: Interval,
        n: u64,
        null: NullLaw,
        log10_p: f64,
    ) -> Result<Evidence, EvidenceError> {
        finite("statistic", statistic)?;
        finite("effect", effect)?;
        finite("interval.low", interval.low)?;
        finite("interval.high", interval.high)?;
        Ok(Evidence {
            statistic,
            effect,
            interval,
            n,
            null,
            log10_p: probability("log10_p", log10_p)?,
            log10_p_decoy: None,
            decoys: 0,
            z_decoy: None,
            log10_e: None,
            units_to_detect: None,
        })
    }

    /// Evidence of `scores` against `null`, one score for each unit; without decoys or e-value.
    ///
    /// # Errors
    /// When a score is NaN or infinite.
    ///
    /// # Panics
    /// When no unit of the null has such scores.
    pub fn of_scores(null: &dyn Null, scores: &[f64]) -> Result<Evidence, EvidenceError> {
        for &score in scores {
            finite("a score", score)?;
        }
        let (n, (effect, interval)) = (scores.len() as u64, null.effect(scores));
        Evidence::new(null.statistic(scores), effect, interval, n, null.law(n), null.log10_p(scores))
    }

    /// Evidence of `hits` in `n` independent units against Binomial(n, gamma): statistic the hits, effect the rate above gamma with
    /// its Clopper-Pearson interval, exact p. No units are no evidence: effect 0, p 1.
    ///
    /// # Panics
    /// When `hits` > `n` or `gamma` is outside (0, 1).
    pub fn binomial(hits: u64, n: u64, gamma: f64) -> Evidence {
        let log10_p = log10_binomial_sf(hits, n, gamma);
        let effect = if n == 0 { 0.0 } else { hits as f64 / n as f64 - gamma };
        Evidence {
            statistic: hits as f64,
            effect,
            interval: clopper_pearson(hits, n, 0.95).shifted(-gamma),
            n,
            null: NullLaw::binomial(n, gamma),
            log10_p,
            log10_p_decoy: None,
            decoys: 0,
            z_decoy: None,
            log10_e: None,
            units_to_detect: None,
        }
    }

    /// As [`Evidence::binomial`], from units in the order they were asked: adds the e-value, and the units it took to reach 1 / alpha.
    ///
    /// # Panics
    /// When `gamma` or `alpha` is outside (0, 1).
    pub fn binomial_sequence(units: &[bool], gamma: f64, alpha: f64) -> Evidence {
        let mut process = BinomialEProcess::new(gamma);
        units.iter().for_each(|&hit| process.push(hit));
        let hits = units.iter().filter(|&&hit| hit).count();
        Evidence {
            log10_e: Some(process.log10_e()),
            units_to_detect: process.first_crossing(alpha),
            ..Evidence::binomial(hits as u64, units.len() as u64, gamma)
        }
    }

    /// Adds the same statistic under decoy keys (methods 0.6); nothing for no decoys.
    ///
    /// # Errors
    /// When a decoy statistic is NaN or infinite.
    pub fn with_decoys(mut self, statistics: &[f64]) -> Result<Evidence, EvidenceError> {
        for &statistic in statistics {
            finite("a decoy statistic", statistic)?;
        }
        if !statistics.is_empty() {
            self.log10_p_decoy = Some(monte_carlo::log10_p_against(self.statistic, statistics));
            self.decoys = statistics.len() as u64;
            self.z_decoy = monte_carlo::z_score(self.statistic, statistics);
        }
        Ok(self)
    }

    /// Adds the same statistic under decoy keys that no verdict asks about: how many there are and the distance from them, no rank. For a p
    /// that is exact by construction, of which they test the keyed function.
    ///
    /// # Errors
    /// When a decoy statistic is NaN or infinite.
    pub fn with_self_test(self, statistics: &[f64]) -> Result<Evidence, EvidenceError> {
        Ok(Evidence { log10_p_decoy: None, ..self.with_decoys(statistics)? })
    }

    /// Adds the e-value after all units, and when the e-process first reached 1 / alpha.
    ///
    /// # Errors
    /// When `log10_e` is NaN or infinite.
    pub fn with_e_value(mut self, log10_e: f64, units_to_detect: Option<u64>) -> Result<Evidence, EvidenceError> {
        self.log10_e = Some(finite("log10_e", log10_e)?);
        self.units_to_detect = units_to_detect;
        Ok(self)
    }
}

fn finite(field: &'static str, value: f64) -> Result<f64, EvidenceError> {
    if value.is_finite() { Ok(value) } else { Err(EvidenceError::NotFinite { field, value }) }
}

fn probability(field: &'static str, value: f64) -> Result<f64, EvidenceError> {
    if finite(field, value)? > ROUNDING {
        return Err(EvidenceError::AboveOne { field, value });
    }
    // Not `min`, which may keep -0.
    Ok(if value < 0.0 { value } else { 0.0 })
}

fn log10_p<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    probability("log10_p", f64::deserialize(from)?).map_err(D::Error::custom)
}

fn optional_log10_p<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let value = Option::<f64>::deserialize(from)?;
    value.map(|value| probability("log10_p_decoy", value).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::null::{Exponential, NullKind};

    const UNIT: Interval = Interval { low: 0.0, high: 1.0 };

    #[test]
    fn binomial_evidence_of_a_known_count() {
        let evidence = Evidence::binomial(64_239, 248_201, 0.25);
        assert!((evidence.log10_p + 23.580_984_595_365).abs() < 1e-9);
        assert!((evidence.effect - 2188.75 / 248_201.0).abs() < 1e-15 && evidence.interval.contains(evidence.effect));
        assert!(evidence.interval.low > 0.0 && evidence.null.words == "Binomial(248201, 0.25)");
        let nothing = Evidence::binomial(0, 0, 0.25);
        assert_eq!((nothing.log10_p, nothing.effect, nothing.interval), (0.0, 0.0, Interval { low: -0.25, high: 0.75 }));
    }

    #[test]
    fn a_sequence_adds_what_looking_early_would_have_shown() {
        let units: Vec<bool> = (0..400).map(|i| i % 2 == 0).collect();
        let evidence = Evidence::binomial_sequence(&units, 0.25, 0.001);
        assert_eq!(Evidence { log10_e: None, units_to_detect: None, ..evidence.clone() }, Evidence::binomial(200, 400, 0.25));
        assert!(
            evidence.log10_e.unwrap() > 15.0 && evidence.units_to_detect.is_some_and(|n| (20..150).contains(&n)),
            "{evidence:?}"
        );
    }

    #[test]
    fn decoys_rank_the_statistic() {
        let decoys: Vec<f64> = (0..999).map(|i| f64::from(i % 31)).collect();
        let evidence = Evidence::binomial(75, 200, 0.25).with_decoys(&decoys).unwrap();
        assert_eq!((evidence.log10_p_decoy, evidence.decoys), (Some(-3.0), 999));
        assert!(evidence.z_decoy.unwrap() > 6.0);
        let tested = Evidence::binomial(75, 200, 0.25).with_self_test(&decoys).unwrap();
        assert_eq!(tested, Evidence { log10_p_decoy: None, ..evidence });
        assert_eq!(Evidence::binomial(75, 200, 0.25).with_decoys(&[]).unwrap(), Evidence::binomial(75, 200, 0.25));
    }

    #[test]
    fn nan_is_refused_and_rounding_is_clamped() {
        let make = |statistic, log10_p| Evidence::new(statistic, 0.0, UNIT, 1, NullLaw::new(NullKind::Normal, "none"), log10_p);
        assert!(matches!(make(f64::NAN, -1.0), Err(EvidenceError::NotFinite { field: "statistic", .. })));
        assert!(matches!(make(1.0, f64::NEG_INFINITY), Err(EvidenceError::NotFinite { field: "log10_p", .. })));
        assert!(matches!(make(1.0, 0.1), Err(EvidenceError::AboveOne { .. })));
        assert_eq!(make(1.0, 1e-15).unwrap().log10_p.to_bits(), 0.0_f64.to_bits());
        assert_eq!(make(1.0, -0.0).unwrap().log10_p.to_bits(), 0.0_f64.to_bits());
        assert!(make(1.0, -1.0).unwrap().with_e_value(f64::NAN, None).is_err());
        assert!(make(1.0, -1.0).unwrap().with_decoys(&[f64::NAN]).is_err());
        let refused = Evidence::of_scores(&Exponential, &[1.0, f64::NAN]);
        assert!(matches!(refused, Err(EvidenceError::NotFinite { field: "a score", .. })));
    }

    #[test]
    fn files_are_read_back_equal_and_impossible_ones_refused() {
        // Short decimals: serde_json's default reader may miss the last bit of long ones.
        let evidence = Evidence::new(75.0, 0.125, UNIT, 200, NullLaw::binomial(200, 0.5), -4.25).unwrap();
        let evidence = evidence.with_decoys(&[50.0, 60.0, 70.0]).unwrap().with_e_value(2.5, Some(120)).unwrap();
        let evidence = Evidence { log10_p_decoy: Some(-0.5), ..evidence };
        let json = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&json).unwrap(), evidence);
        let mut forged: serde_json::Value = serde_json::from_str(&json).unwrap();
        forged["log10_p"] = 0.5.into();
        let error = serde_json::from_value::<Evidence>(forged).unwrap_err().to_string();
        assert!(error.contains("log10_p") && error.contains("0.5"), "{error}");
    }
}
