//! What a figure of small multiples shows: a panel for each mark that has something to show, a line for each that has not, and what the
//! students are worth.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;

use super::chart::{Chart, Dot, Value, dots};
use super::line::{Line, line_of, shows_something};
use super::palette::COLORS;
use super::scale::Budgets;
use super::seen::by_what_is_seen;
use crate::counted::{judged_by_count, n_star_by_count};
use crate::gate::{Families, goes_first};
use crate::level::with_account;
use crate::setting::Names;
use crate::{Arm, Family, Kind, NStar, Record, Setting, n_star};

/// One mark, under one account's key where each has its own.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    /// Its name, and its account.
    pub(crate) mark: String,
    /// What the effect is, if the records say.
    pub(crate) effect_unit: Option<String>,
    /// Whether its controls are positives, since nobody planted it.
    pub(crate) positive_controls: bool,
    /// Whether it is the primary mark, which is tested first.
    pub(crate) primary: bool,
    /// Most tests of one student over which Holm's correction of this mark runs.
    pub(crate) tests: usize,
    pub(crate) evidence: Chart,
    pub(crate) effect: Chart,
    /// By curve number.
    pub(crate) stars: Vec<Option<NStar>>,
    /// What the older test says of the same answers, by curve number; nothing where there are more curves than colours.
    pub(crate) counts: Vec<Count>,
}

/// Students of one curve under the count of distinct units; empty where the mark has none.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    /// Evidence.
    pub(crate) dots: Vec<Dot>,
    pub(crate) star: Option<NStar>,
}

/// What the students are worth by one metric.
#[derive(Debug, Clone)]
pub(crate) struct WorthPanel {
    /// The metric in words, with its unit.
    pub(crate) name: String,
    /// Whether less is better.
    pub(crate) less_is_better: bool,
    pub(crate) chart: Chart,
}

/// Everything a figure of small multiples shows.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    pub(crate) panels: Vec<Panel>,
    pub(crate) lines: Vec<Line>,
    /// Most telling first.
    pub(crate) worth: Vec<WorthPanel>,
    /// Names of the curves, shared by all panels.
    pub(crate) labels: Vec<String>,
    pub(crate) budgets: Budgets,
    pub(crate) seeds: usize,
    /// Marks that the teachers of some students lacked.
    pub(crate) lacked: Vec<String>,
    /// Name of the primary mark, if there is one.
    pub(crate) primary: Option<String>,
}

/// Metrics of worth: name, in words, whether less is better.
const WORTH: [(&str, &str, bool); 5] = [
    ("label_agreement", "labels as the teacher sends them", false),
    ("held_out_loss", "held-out loss", true),
    ("held_out_loss_per_byte", "held-out loss", true),
    ("agreement", "agreement with the raw teacher", false),
    ("exact_match", "tasks solved", false),
];

/// What has a panel of its own: a mark, under one account's key.
type Name<'a> = (Option<Family>, &'a str, Option<u32>);

impl Panels {
    /// # Errors
    /// When no student has a value to draw.
    pub(crate) fn of(records: &[Record], alpha: f64) -> anyhow::Result<Self> {
        let records = &*by_what_is_seen(records);
        let evidence: Value = |r| r.evidence().map(|evidence| (evidence, None));
        let effect: Value = |r| r.effect.map(|effect| (effect, r.effect_low.zip(r.effect_high)));
        let marks: Vec<&Record> = records.iter().filter(|r| r.kind == Kind::Mark && r.mark.is_some()).collect();
        let asked = |r: &&&Record| r.arm == Arm::Student && !r.is_negative() && r.budget_queries.is_some();
        let students: Vec<&Record> = marks.iter().filter(asked).copied().collect();
        ensure!(students.iter().any(|r| evidence(r).is_some()), "no student has a measured mark to draw");
        let keys: Vec<Setting> = students.iter().map(|r| r.setting()).collect::<BTreeSet<_>>().into_iter().collect();
        let stars = n_star(records);
        let by_count = judged_by_count(records, alpha);
        let stars_by_count = n_star_by_count(&by_count, records);
        let names: BTreeSet<Name<'_>> =
            students.iter().map(|r| (r.family, r.mark.as_deref().unwrap_or_default(), r.account)).collect();
        let lacked: BTreeSet<&String> = records.iter().filter_map(|r| r.lacks.as_ref()).collect();
        let lacked: Vec<String> = lacked.into_iter().cloned().collect();
        let families = Families::of(records);
        // students of other surfaces and seeds may have been asked more
        let most = |first: bool| {
            let beside = marks.iter().filter(|r| r.arm == Arm::Student && goes_first(r) == first);
            beside.map(|r| families.size(r)).max().unwrap_or(1)
        };
        let (mut panels, mut lines) = (Vec::new(), Vec::new());
        for (_, mark, account) in names {
            let of_mark = |r: &&Record| r.mark.as_deref() == Some(mark) && r.account == account;
            let of_mark: Vec<&Record> = marks.iter().copied().filter(of_mark).collect();
            if !shows_something(&of_mark) {
                lines.push(line_of(with_account(mark, account), &of_mark));
                continue;
            }
            let star = |stars: &[NStar], key: &Setting| {
                stars.iter().find(|s| s.mark == mark && s.account == account && s.setting == *key).cloned()
            };
            let count = |key: &Setting| Count {
                dots: dots(
                    by_count.iter().filter(|r| r.mark.as_deref() == Some(mark) && r.account == account && r.has(key)),
                    evidence,
                ),
                star: star(&stars_by_count, key),
            };
            let primary = of_mark.iter().any(|r| goes_first(r));
            panels.push(Panel {
                mark: with_account(mark, account),
                effect_unit: of_mark.iter().find_map(|r| r.effect_unit.clone()),
                positive_controls: of_mark.iter().any(|r| r.arm == Arm::Control && !r.is_negative()),
                primary,
                tests: most(primary),
                evidence: Chart::of(&of_mark, &keys, &lacked, evidence),
                effect: Chart::of(&of_mark, &keys, &lacked, effect),
                stars: keys.iter().map(|key| star(&stars, key)).collect(),
                counts: if keys.len() <= COLORS { keys.iter().map(count).collect() } else { Vec::new() },
            });
        }
        let labels = Names::of(&keys);
        Ok(Self {
            panels,
            lines,
            worth: worth(records, &keys, &lacked),
            lacked,
            labels: keys.iter().map(|key| labels.curve(key)).collect(),
            budgets: Budgets::new(students.iter().filter_map(|r| r.budget_queries).collect()),
            seeds: students.iter().map(|r| r.seed).collect::<BTreeSet<_>>().len(),
            primary: students.iter().find(|r| goes_first(r)).and_then(|r| r.mark.clone()),
        })
    }
}

/// The metrics that were measured on students; none where students of several experiments share a curve, each with a panel of its mark.
fn worth(records: &[Record], keys: &[Setting], lacked: &[String]) -> Vec<WorthPanel> {
    let mut of_curve: BTreeMap<Setting, BTreeSet<&str>> = BTreeMap::new();
    for r in records.iter().filter(|r| r.arm == Arm::Student && r.kind == Kind::Metric) {
        of_curve.entry(r.setting()).or_default().insert(&r.experiment_hash);
    }
    if of_curve.values().any(|experiments| experiments.len() > 1) {
        return Vec::new();
    }
    let value: Value = |r| r.value.map(|value| (value, r.low.zip(r.high)));
    let panel = |(metric, words, less_is_better): (&str, &str, bool)| {
        let of_metric = |r: &&Record| r.kind == Kind::Metric && r.metric.as_deref() == Some(metric) && r.metric_of.is_none();
        let of_metric: Vec<&Record> = records.iter().filter(of_metric).collect();
        let chart = Chart::of(&of_metric, keys, lacked, value);
        let unit = of_metric.iter().find_map(|r| r.unit.clone()).unwrap_or_default();
        let name = if matches!(unit.as_str(), "" | "1") { words.to_string() } else { format!("{words}, {unit}") };
        chart.curves.iter().any(|c| !c.student.is_empty()).then_some(WorthPanel { name, less_is_better, chart })
    };
    WORTH.into_iter().filter_map(panel).collect()
}
