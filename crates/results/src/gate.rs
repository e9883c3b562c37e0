//! A primary mark: named before the run, tested first and alone at alpha; the others come behind it.

use std::collections::BTreeMap;

use stats::combine::holm;

use crate::{Kind, Record, SuspectKey};

/// Whether the record is of the primary mark in a suspect on trial. Positive controls and negatives have no order among their tests:
/// nothing is to be proven of them.
pub(crate) fn goes_first(record: &Record) -> bool {
    record.kind == Kind::Mark && record.primary == Some(true) && record.arm.is_on_trial()
}

/// Tests that are corrected together: those of one suspect, the primary mark's apart from the others.
pub(crate) type Family = (SuspectKey, bool);

/// The family of a mark record.
pub(crate) fn family(record: &Record) -> Family {
    (record.suspect(), goes_first(record))
}

/// How many tests each family has that has a mark record. Records without a p were not tested.
pub(crate) struct Families(BTreeMap<Family, usize>);

impl Families {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut sizes: BTreeMap<Family, usize> = BTreeMap::new();
        for record in records.iter().filter(|record| record.kind == Kind::Mark) {
            *sizes.entry(family(record)).or_default() += usize::from(record.log10_p.is_some());
        }
        Self(sizes)
    }

    /// Tests that are corrected together with this one, itself included.
    pub(crate) fn size(&self, record: &Record) -> usize {
        self.0.get(&family(record)).copied().unwrap_or(1)
    }
}

/// Fills `log10_p_holm`: Holm within each family, and behind a primary mark no less than the primary mark's own.
///
/// That is the closed test in which an intersection that holds the primary mark is tested by the primary mark alone, and any other by
/// Bonferroni: the chance of a false proof in a suspect is at most the level, whatever the dependence. `confirmed` says whether a test can
/// prove anything at all. Keys that must not fire are never held back.
pub(crate) fn adjust(records: &mut [Record], confirmed: impl Fn(&Record) -> bool) {
    let mut families: BTreeMap<Family, Vec<usize>> = BTreeMap::new();
    for (i, record) in records.iter_mut().enumerate().filter(|(_, record)| record.kind == Kind::Mark) {
        record.log10_p_holm = None;
        if record.log10_p.is_some() {
            families.entry(family(record)).or_default().push(i);
        }
    }
    for family in families.values() {
        let log10_ps: Vec<f64> = family.iter().filter_map(|&i| records[i].log10_p).collect();
        for (&i, adjusted) in family.iter().zip(holm(&log10_ps)) {
            records[i].log10_p_holm = Some(adjusted);
        }
    }
    let mut gates: BTreeMap<SuspectKey, f64> = BTreeMap::new();
    for first in records.iter().filter(|record| goes_first(record) && !record.is_negative()) {
        let own = first.log10_p_holm.filter(|_| confirmed(first));
        let p = own.map_or(0.0, |p| p.max(first.log10_p_decoy.unwrap_or(f64::NEG_INFINITY)));
        let gate = gates.entry(first.suspect()).or_insert(f64::NEG_INFINITY);
        *gate = gate.max(p);
    }
    if gates.is_empty() {
        return;
    }
    for record in records.iter_mut().filter(|record| record.kind == Kind::Mark && !goes_first(record) && !record.is_negative()) {
        if let (Some(own), Some(gate)) = (record.log10_p_holm, gates.get(&record.suspect())) {
            record.log10_p_holm = Some(own.max(*gate));
        }
    }
}
