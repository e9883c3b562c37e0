//! What a student is worth beside its base.

use std::collections::{BTreeMap, HashMap};

use crate::{Arm, Kind, Record};

/// Losses on held-out text that student and base share, in the order they are looked for.
const LOSSES: [&str; 2] = ["held_out_loss", "held_out_loss_per_byte"];

/// Loss of a student and of its base on the same held-out text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BesideBase {
    pub(crate) student: f64,
    pub(crate) base: f64,
    pub(crate) unit: String,
}

impl BesideBase {
    /// Whether the student is worth less than the model it began as: then nothing was stolen.
    pub(crate) fn worthless(&self) -> bool {
        self.student > self.base
    }
}

/// Held-out losses of all students and bases.
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
            let name = LOSSES.into_iter().find(|name| record.metric.as_deref() == Some(name));
            let (Some(name), Some(value)) = (name, record.value) else { continue };
            match record.arm {
                Arm::Base => {
                    let unit = record.unit.as_deref().unwrap_or_default();
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
        LOSSES.into_iter().find_map(|name| {
            let own = *self.students.get(&(student.suspect(), name))?;
            let (base, unit) = *self.bases.get(&(place(student), name))?;
            Some(BesideBase { student: own, base, unit: unit.to_string() })
        })
    }
}
