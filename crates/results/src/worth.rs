//! What a student is worth beside its base.

use std::collections::{BTreeMap, HashMap};

use crate::{Arm, Kind, Record};

/// What student and base share, in the order it is looked for: metric, and what it is called. Less is better; a student that gives labels is
/// worth what its labels are, whatever became of the text it knew.
const LOSSES: [(&str, &str); 3] = [
    (LABELS, "share of labels unlike the teacher's"),
    ("held_out_loss", "held-out loss"),
    ("held_out_loss_per_byte", "held-out loss"),
];

/// A share of labels that are alike, and so turned around.
const LABELS: &str = "label_agreement";

/// Loss of a student and of its base on the same texts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BesideBase {
    pub(crate) student: f64,
    pub(crate) base: f64,
    pub(crate) unit: String,
    /// What the loss is called.
    pub(crate) what: &'static str,
}

impl BesideBase {
    /// Whether the student is worth less than the model it began as: then nothing was stolen.
    pub(crate) fn worthless(&self) -> bool {
        self.student > self.base
    }
}

/// Losses of all students and bases.
pub(crate) struct Worth<'a> {
    students: HashMap<(crate::SuspectKey, &'a str), f64>,
    bases: HashMap<(Place<'a>, &'a str), (f64, &'a str)>,
}

/// Experiment, seed and place on the grid: a base is shared by all surfaces, defences and attacks.
type Place<'a> = (&'a str, u64, &'a BTreeMap<String, String>);

fn place(record: &Record) -> Place<'_> {
    (&record.experiment_hash, record.seed, &record.axes)
}

impl<'a> Worth<'a> {
    pub(crate) fn of(records: &'a [Record]) -> Self {
        let mut worth = Self { students: HashMap::new(), bases: HashMap::new() };
        for record in records.iter().filter(|r| r.kind == Kind::Metric) {
            let name = LOSSES.into_iter().map(|(name, _)| name).find(|name| record.metric.as_deref() == Some(name));
            let (Some(name), Some(value)) = (name, record.value) else { continue };
            let value = if name == LABELS { 1.0 - value } else { value };
            match record.arm {
                Arm::Base => {
                    let unit = record.unit.as_deref().filter(|unit| *unit != "1").unwrap_or_default();
                    worth.bases.insert((place(record), name), (value, unit));
                }
                Arm::Student => {
                    worth.students.insert((record.suspect(), name), value);
                }
                _ => {}
            }
        }
        worth
    }

    /// The two losses of a student's mark record, if both were measured.
    pub(crate) fn beside_base(&self, student: &Record) -> Option<BesideBase> {
        LOSSES.into_iter().find_map(|(name, what)| {
            let own = *self.students.get(&(student.suspect(), name))?;
            let (base, unit) = *self.bases.get(&(place(student), name))?;
            Some(BesideBase { student: own, base, unit: unit.to_string(), what })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(arm: Arm, name: &str, value: f64) -> Record {
        Record { kind: Kind::Metric, arm, metric: Some(name.into()), value: Some(value), ..Record::default() }
    }

    #[test]
    fn a_student_that_gives_labels_is_worth_its_labels() {
        let student = Record { arm: Arm::Student, ..Record::default() };
        let mut records = vec![metric(Arm::Student, "held_out_loss", 5.0), metric(Arm::Base, "held_out_loss", 3.0)];
        let loss = Worth::of(&records).beside_base(&student).unwrap();
        assert!(loss.worthless() && loss.what == "held-out loss");
        records.extend([metric(Arm::Student, "label_agreement", 0.9), metric(Arm::Base, "label_agreement", 0.3)]);
        let loss = Worth::of(&records).beside_base(&student).unwrap();
        assert!(!loss.worthless() && (loss.student - 0.1).abs() < 1e-12 && (loss.base - 0.7).abs() < 1e-12, "{loss:?}");
        assert!(loss.what.contains("labels") && loss.unit.is_empty());
    }
}
