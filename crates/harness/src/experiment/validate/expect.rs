//! `[expect]`: conditions on records that this experiment can have. What some point of a grid has, the grid has.

use std::collections::BTreeSet;

use results::{Arm, Expectation};

use super::Check;
use crate::config_error::{Problem, nearest};
use crate::experiment::Experiment;
use crate::loaded::Loaded;

/// Everything that is wrong with the conditions of an experiment whose points are `points`.
pub fn expectations(points: &[Loaded<Experiment>]) -> Vec<Problem> {
    let Some(first) = points.first() else { return Vec::new() };
    let mut check = Check { loaded: first, problems: Vec::new() };
    let has = Has::of(points);
    for (name, expectation) in &first.value.expect {
        check.expectation(&format!("expect.{name}"), expectation, &has);
    }
    check.problems
}

/// What the points have, together.
struct Has {
    marks: BTreeSet<String>,
    apart: BTreeSet<String>,
    surfaces: BTreeSet<String>,
    budgets: BTreeSet<u64>,
    largest: BTreeSet<u64>,
    seeds: BTreeSet<u64>,
}

impl Has {
    fn of(points: &[Loaded<Experiment>]) -> Self {
        let all = || points.iter().map(|point| &point.value);
        Self {
            marks: all().flat_map(|e| e.marks.keys().cloned()).collect(),
            apart: all().flat_map(|e| e.marks_apart.iter().cloned()).collect(),
            surfaces: all().flat_map(|e| e.distill.iter().map(|channel| channel.surface.label())).collect(),
            budgets: all().flat_map(|e| e.queries.budgets.iter().copied()).collect(),
            largest: all().filter_map(|e| e.queries.budgets.iter().max().copied()).collect(),
            seeds: all().flat_map(|e| e.seeds.iter().copied()).collect(),
        }
    }
}

impl Check<'_> {
    fn expectation(&mut self, key: &str, expectation: &Expectation, has: &Has) {
        let Expectation { mark, metric, arm, lacks, surface, budget, seed, verdict, value, at_least, at_most, .. } = expectation;
        let at = |name: &str| format!("{key}.{name}");
        match (mark, metric) {
            (None, None) => {
                self.problem(key, "it names neither a mark nor a metric", "add `mark = \"NAME\"` or `metric = \"NAME\"`")
            }
            (Some(mark), _) => self.one_of(&at("mark"), mark, &has.marks, "no mark of that name in `[marks]`", "marks here"),
            (None, Some(metric)) if metric.is_empty() => {
                self.problem(&at("metric"), "empty", "name a metric, such as `held_out_loss`")
            }
            (None, Some(_)) => {}
        }
        self.expected_number(key, expectation);
        if metric.is_some() && verdict.is_some() {
            self.problem(&at("verdict"), "a metric has no verdict", "drop it, or drop `metric`");
        }
        if verdict.as_ref().is_some_and(|verdicts| verdicts.all().is_empty()) {
            self.problem(&at("verdict"), "empty", "name one verdict or more");
        }
        if verdict.is_none() && at_least.is_none() && at_most.is_none() {
            let remedy = if metric.is_some() { "add `at_least` or `at_most`" } else { "add `verdict`, or `value` with a bound" };
            self.problem(key, "it asks nothing of the records it names", remedy);
        }
        if metric.is_some() && value.is_some() {
            self.problem(&at("value"), "a metric has one number only", "drop it: `at_least` and `at_most` speak of that number");
        }
        self.expected_arm(key, *arm, lacks.as_deref(), has);
        let distilled = arm.is_distilled();
        if let Some(surface) = surface {
            match distilled {
                true => self.one_of(&at("surface"), surface, &has.surfaces, "no [[distill]] has it", "surfaces here"),
                false => self.not_distilled(&at("surface"), *arm),
            }
        }
        if let Some(budget) = budget {
            let known = if *arm == Arm::Rival { &has.largest } else { &has.budgets };
            if !distilled {
                self.not_distilled(&at("budget"), *arm);
            } else if !known.contains(budget) {
                let only =
                    if *arm == Arm::Rival { "a rival is distilled at the largest budget only" } else { "not in queries.budgets" };
                let known: Vec<String> = known.iter().map(u64::to_string).collect();
                self.problem(&at("budget"), only, format!("write one of {}", known.join(", ")));
            }
        }
        if let Some(seed) = seed
            && !has.seeds.contains(seed)
        {
            let known: Vec<String> = has.seeds.iter().map(u64::to_string).collect();
            self.problem(&at("seed"), "not in `seeds`", format!("write one of {}", known.join(", ")));
        }
    }

    /// What is said of a number.
    fn expected_number(&mut self, key: &str, expectation: &Expectation) {
        let Expectation { metric, value, at_least, at_most, .. } = expectation;
        let bounded = at_least.is_some() || at_most.is_some();
        if metric.is_none() && bounded && value.is_none() {
            self.problem(
                key,
                "a bound, and no word of which number it is on",
                "add `value = \"log10_p\"`, or another number of a record",
            );
        }
        if value.is_some() && !bounded {
            self.problem(&format!("{key}.value"), "no bound on it", "add `at_least` or `at_most`");
        }
        if let (Some(low), Some(high)) = (at_least, at_most)
            && low > high
        {
            self.problem(&format!("{key}.at_most"), format!("below at_least = {low}"), "no number is both; exchange or drop one");
        }
    }

    fn expected_arm(&mut self, key: &str, arm: Arm, lacks: Option<&str>, has: &Has) {
        let at_arm = format!("{key}.arm");
        if arm.is_from_outside() {
            self.problem(&at_arm, "no experiment has it: models from outside are audited", "name another arm");
        } else if arm == Arm::Apart && has.apart.is_empty() {
            self.problem(&at_arm, "no mark is set apart", "add `marks_apart`, or name another arm");
        }
        match lacks {
            Some(_) if arm != Arm::Apart => {
                self.problem(
                    &format!("{key}.lacks"),
                    "only students of the arm `apart` lack a mark",
                    "add `arm = \"apart\"`, or drop it",
                );
            }
            Some(mark) => self.one_of(&format!("{key}.lacks"), mark, &has.apart, "not in `marks_apart`", "marks set apart"),
            None => {}
        }
    }

    fn not_distilled(&mut self, key: &str, arm: Arm) {
        let what = format!("the {} is distilled from no answers", arm.name());
        self.problem(key, what, "drop it, or name another `arm`");
    }

    fn one_of(&mut self, key: &str, typed: &str, known: &BTreeSet<String>, what: &str, listed: &str) {
        if !known.contains(typed) {
            let all: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            let meant = nearest(typed, known.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
            self.problem(key, what, meant.unwrap_or_else(|| format!("{listed}: {}", all.join(", "))));
        }
    }
}
