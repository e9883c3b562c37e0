//! Records that no run writes.

use crate::record::MOST_DECOY_Z;
use crate::{Kind, Record};

/// How far above 0 the logarithm of a probability may lie by rounding.
const ROUNDING: f64 = 1e-9;

/// Size from which on no measured value is, and sums of squares overflow.
const HUGE: f64 = 1e150;

/// What about `record` no run ever writes, as a lower-case fragment that names the fields; `None` where nothing is strange.
///
/// A value may be wrong and still pass: this finds what contradicts itself, and what the figures could not draw.
pub(crate) fn impossible(record: &Record) -> Option<String> {
    for (name, value) in
        [("log10_p", record.log10_p), ("log10_p_decoy", record.log10_p_decoy), ("log10_p_holm", record.log10_p_holm)]
    {
        if let Some(value) = value.filter(|value| *value > ROUNDING) {
            return Some(format!("`{name}` is {value}, and no probability is above 1"));
        }
    }
    let measured = [
        ("statistic", record.statistic),
        ("effect", record.effect),
        ("effect_low", record.effect_low),
        ("effect_high", record.effect_high),
        ("log10_p", record.log10_p),
        ("log10_e", record.log10_e),
        ("z_decoy", record.z_decoy),
        ("null_mean", record.null_mean),
        ("null_sd", record.null_sd),
        ("value", record.value),
        ("low", record.low),
        ("high", record.high),
    ];
    for (name, value) in measured {
        if let Some(value) = value.filter(|value| value.abs() >= HUGE) {
            return Some(format!("`{name}` is {value:e}"));
        }
    }
    for (names, low, high) in [("effect", record.effect_low, record.effect_high), ("", record.low, record.high)] {
        let below = if names.is_empty() { String::new() } else { format!("{names}_") };
        if let (Some(low), Some(high)) = (low, high)
            && low > high
        {
            return Some(format!("`{below}low` is {low} and `{below}high` is {high}"));
        }
    }
    if let (Some(hits), Some(decoys)) = (record.decoys_at_alpha, record.decoys)
        && hits > decoys
    {
        return Some(format!("`decoys_at_alpha` is {hits} of {decoys} `decoys`"));
    }
    if let (Some(rank), Some(decoys)) = (record.log10_p_decoy, record.decoys)
        && rank < -libm::log10((decoys + 1) as f64) - ROUNDING
    {
        return Some(format!("`log10_p_decoy` is {rank}, less than {decoys} `decoys` can show"));
    }
    if let Some(scores) = &record.decoy_z {
        let most = record.decoys.map_or(MOST_DECOY_Z, |decoys| MOST_DECOY_Z.min(decoys as usize));
        if scores.len() > most {
            return Some(format!("`decoy_z` has {} scores, and {most} are kept", scores.len()));
        }
    }
    for (name, value) in [("null_sd", record.null_sd), ("passes", record.passes), ("peak_lr", record.peak_lr)] {
        if let Some(value) = value.filter(|value| *value < 0.0) {
            return Some(format!("`{name}` is {value}, less than 0"));
        }
    }
    if record.budget_queries == Some(0) {
        return Some("`budget_queries` is 0: the base is the student of nothing".into());
    }
    match record.kind {
        Kind::Mark if record.mark.is_none() => Some("`kind` is \"mark\" without a `mark`".into()),
        Kind::Metric if record.metric.is_none() || record.value.is_none() => {
            Some("`kind` is \"metric\" without a `metric` and its `value`".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contradicts_itself_is_named() {
        let sound = Record {
            mark: Some("kgw".into()),
            log10_p: Some(-3.0),
            effect_low: Some(0.1),
            effect_high: Some(0.3),
            decoys: Some(99),
            decoys_at_alpha: Some(99),
            log10_p_decoy: Some(-2.0),
            decoy_z: Some(vec![0.5; 99]),
            ..Record::default()
        };
        assert_eq!(impossible(&sound), None);
        type Edit = fn(&mut Record);
        let cases: [(Edit, &str); 11] = [
            (|r| r.decoys_at_alpha = Some(100), "`decoys_at_alpha` is 100 of 99 `decoys`"),
            (|r| r.log10_p = Some(0.5), "`log10_p` is 0.5"),
            (|r| r.log10_p_holm = Some(3.0), "`log10_p_holm` is 3"),
            (|r| r.log10_p_decoy = Some(-2.5), "`log10_p_decoy` is -2.5, less than 99 `decoys` can show"),
            (|r| r.effect_low = Some(0.4), "`effect_low` is 0.4 and `effect_high` is 0.3"),
            (|r| (r.low, r.high) = (Some(2.0), Some(1.0)), "`low` is 2 and `high` is 1"),
            (|r| r.decoy_z = Some(vec![0.5; 100]), "`decoy_z` has 100 scores, and 99 are kept"),
            (|r| r.effect_high = Some(1e300), "`effect_high` is 1e300"),
            (|r| r.null_sd = Some(-1.0), "`null_sd` is -1"),
            (|r| r.budget_queries = Some(0), "`budget_queries` is 0"),
            (|r| r.mark = None, "without a `mark`"),
        ];
        for (edit, expected) in cases {
            let mut record = sound.clone();
            edit(&mut record);
            let said = impossible(&record).unwrap();
            assert!(said.contains(expected), "{said}");
        }
        let metric = Record { kind: Kind::Metric, metric: Some("kl".into()), ..Record::default() };
        assert!(impossible(&metric).unwrap().contains("without a `metric` and its `value`"));
        assert_eq!(impossible(&Record { value: Some(1.0), ..metric }), None);
    }
}
