//! Records of several results directories as one: what may stand in one figure, and what is counted once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{Arm, Kind, Record, Setting, View};

/// The axis that tells experiments apart which their settings do not.
pub const RESULT_AXIS: &str = "result";

/// One results directory.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// Its name in the report, unlike that of any other part.
    pub name: String,
    /// Its records, judged or not.
    pub records: Vec<Record>,
    /// What each of its experiments is apart from what only says how much of it was run (name, seeds, budgets, surfaces), by
    /// `experiment_hash`: experiments for which this is equal are parts of one. One that is not here is one by itself.
    pub worlds: BTreeMap<String, String>,
}

/// Where the records of one experiment went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Hash of the experiment that it is a part of: that of the first part.
    pub experiment_hash: String,
    /// Place on the grid.
    pub axes: BTreeMap<String, String>,
}

/// Several parts as one.
#[derive(Debug, Clone, Default)]
pub struct Together {
    /// Records, not judged yet; each names its [`source`](Record::source).
    pub records: Vec<Record>,
    /// By number of the part and `experiment_hash`.
    pub joined: BTreeMap<(usize, String), Joined>,
    /// For each part, how many of its records were in an earlier one.
    pub counted_before: Vec<usize>,
}

/// Why parts do not stand together.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum JoinError {
    /// Something that has to be equal is not.
    #[error("{first} and {second} do not go together: {what}: {ours} there, {theirs} here; report them apart")]
    Differs {
        /// Name of the first part.
        first: String,
        /// Name of the other.
        second: String,
        /// What it is.
        what: String,
        /// Its value in the first.
        ours: String,
        /// And in the other.
        theirs: String,
    },
    /// One measurement has two results.
    #[error(
        "{first} and {second} hold other numbers for the same measurement ({what}): other versions or processors made them; report one \
         of them alone, or run one of them again"
    )]
    Contradicts {
        /// Name of the first part.
        first: String,
        /// Name of the other.
        second: String,
        /// Suspect and mark or metric.
        what: String,
    },
}

/// Puts `parts` together. The same measurement in several parts is counted once. Experiments that are parts of one get one hash; others
/// that nothing else tells apart get an axis [`RESULT_AXIS`] with the name of the part that they are from.
///
/// # Errors
/// When parts have another primary mark, or of one mark another scheme, effect or audit; when one measurement has two results.
pub fn join(parts: &[Part]) -> Result<Together, JoinError> {
    same_primary(parts)?;
    same_marks(parts)?;
    let worlds = Worlds::of(parts);
    let collide = worlds.collide(parts);
    let mut together = Together { counted_before: vec![0; parts.len()], ..Together::default() };
    let mut seen: HashMap<Measurement, (usize, Record)> = HashMap::new();
    for (number, part) in parts.iter().enumerate() {
        for record in &part.records {
            let world = worlds.world(&record.experiment_hash);
            let mut axes = worlds.axes[world].clone();
            if collide {
                axes.insert(RESULT_AXIS.to_string(), parts[worlds.first_part[world]].name.clone());
            }
            let experiment_hash = worlds.hashes[world].clone();
            let place = Joined { experiment_hash: experiment_hash.clone(), axes: axes.clone() };
            together.joined.entry((number, record.experiment_hash.clone())).or_insert(place);
            let record = Record { experiment_hash, axes, source: Some(part.name.clone()), ..record.clone() };
            match seen.get(&measurement(&record)) {
                Some((earlier, known)) if *earlier != number => {
                    if bare(&record) != bare(known) {
                        return Err(JoinError::Contradicts {
                            first: parts[*earlier].name.clone(),
                            second: part.name.clone(),
                            what: in_words(&record),
                        });
                    }
                    together.counted_before[number] += 1;
                }
                _ => {
                    seen.insert(measurement(&record), (number, record.clone()));
                    together.records.push(record);
                }
            }
        }
    }
    Ok(together)
}

/// Experiments by number: those that are parts of one have one number.
struct Worlds {
    numbers: HashMap<String, usize>,
    /// The first hash of each.
    hashes: Vec<String>,
    /// The first part that has it.
    first_part: Vec<usize>,
    /// Its place on a grid; what a run without one leaves out is taken from one with it.
    axes: Vec<BTreeMap<String, String>>,
}

impl Worlds {
    fn of(parts: &[Part]) -> Self {
        // a hash says it all, whether or not this part says what it stands for
        let known: HashMap<&str, &str> =
            parts.iter().flat_map(|part| &part.worlds).map(|(hash, world)| (hash.as_str(), world.as_str())).collect();
        let mut by_world: HashMap<&str, usize> = HashMap::new();
        let mut worlds = Self { numbers: HashMap::new(), hashes: Vec::new(), first_part: Vec::new(), axes: Vec::new() };
        for (part, record) in parts.iter().enumerate().flat_map(|(i, part)| part.records.iter().map(move |record| (i, record))) {
            let hash = record.experiment_hash.as_str();
            let world = known.get(hash).copied().unwrap_or(hash);
            let number = *by_world.entry(world).or_insert_with(|| {
                worlds.hashes.push(hash.to_string());
                worlds.first_part.push(part);
                worlds.axes.push(BTreeMap::new());
                worlds.hashes.len() - 1
            });
            worlds.numbers.insert(hash.to_string(), number);
            for (axis, value) in record.axes.iter().filter(|(axis, _)| *axis != RESULT_AXIS) {
                worlds.axes[number].entry(axis.clone()).or_insert_with(|| value.clone());
            }
        }
        worlds
    }

    fn world(&self, hash: &str) -> usize {
        self.numbers.get(hash).copied().unwrap_or_default()
    }

    /// Whether students of two experiments would lie on one curve.
    fn collide(&self, parts: &[Part]) -> bool {
        let mut curves: HashMap<Setting, usize> = HashMap::new();
        let students = parts.iter().flat_map(|part| &part.records).filter(|record| record.arm == Arm::Student);
        students.into_iter().any(|record| {
            let world = self.world(&record.experiment_hash);
            let setting = Setting { axes: self.axes[world].clone(), ..record.setting() };
            *curves.entry(setting).or_insert(world) != world
        })
    }
}

/// What a measurement is of.
type Measurement = ((String, u64, Arm, Option<String>, Option<u64>), Setting, Kind, Of);
type Of = (Option<String>, Option<u32>, Option<View>, Option<String>, Option<String>, Option<String>);

fn measurement(record: &Record) -> Measurement {
    let r = record.clone();
    let suspect = (r.experiment_hash, r.seed, r.arm, r.lacks, r.budget_queries);
    (suspect, record.setting(), r.kind, (r.mark, r.account, r.view, r.access, r.metric, r.metric_of))
}

/// A record without what is judged or only says where it is from.
fn bare(record: &Record) -> Record {
    Record {
        experiment: String::new(),
        run_id: String::new(),
        // names of artifacts: an earlier version wrote none
        student_id: None,
        teacher_id: None,
        transcript_id: None,
        source: None,
        log10_p_holm: None,
        verdict: None,
        detectable_effect: None,
        // of a mark that was tested, it is the judge's
        reason: record.reason.clone().filter(|_| record.log10_p.is_none()),
        ..record.clone()
    }
}

fn in_words(record: &Record) -> String {
    use crate::arms::Describe;
    let name = record.mark.as_ref().or(record.metric.as_ref()).cloned().unwrap_or_default();
    format!("{name} in {}", record.describe())
}

/// All parts have the same primary mark, or none.
fn same_primary(parts: &[Part]) -> Result<(), JoinError> {
    let primary = |part: &Part| {
        let first = part.records.iter().find(|record| record.primary == Some(true));
        first.and_then(|record| record.mark.clone()).unwrap_or("none".to_string())
    };
    let Some(first) = parts.first() else { return Ok(()) };
    match parts.iter().find(|part| primary(part) != primary(first)) {
        Some(other) => Err(differs(first, other, "the primary mark", primary(first), primary(other))),
        None => Ok(()),
    }
}

fn differs(first: &Part, second: &Part, what: &str, ours: String, theirs: String) -> JoinError {
    JoinError::Differs { first: first.name.clone(), second: second.name.clone(), what: what.to_string(), ours, theirs }
}

/// Name of something that marks have, and what it is of one.
type OfMark = (&'static str, fn(&Record) -> Option<String>);

/// What has to be equal of marks of one name: a curve holds at one audit, and an axis has one unit.
const OF_MARK: [OfMark; 3] = [
    ("scheme", |r| r.scheme.clone()),
    ("effect", |r| r.effect_unit.clone()),
    ("audit", |r| Some(format!("{} prompts x {} tokens", r.audit_prompts?, r.audit_max_new_tokens?))),
];

/// A grid may vary these within one part: its axes say so.
fn same_marks(parts: &[Part]) -> Result<(), JoinError> {
    for (what, of) in OF_MARK {
        let mut known: HashMap<String, (&Part, BTreeSet<String>)> = HashMap::new();
        for part in parts {
            let mut own: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for record in part.records.iter().filter(|record| record.kind == Kind::Mark) {
                if let (Some(mark), Some(value)) = (&record.mark, of(record)) {
                    own.entry(mark.clone()).or_default().insert(value);
                }
            }
            for (mark, values) in own {
                let (first, ours) = known.entry(mark.clone()).or_insert_with(|| (part, values.clone()));
                if ours.len() == 1 && values.len() == 1 && *ours != values {
                    let said = |values: &BTreeSet<String>| values.iter().cloned().collect::<String>();
                    return Err(differs(first, part, &format!("the {what} of mark `{mark}`"), said(ours), said(&values)));
                }
            }
        }
    }
    Ok(())
}
