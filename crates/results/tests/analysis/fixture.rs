//! Experiments that never ran.

use results::{Arm, Family, Kind, RECORD_SCHEMA, Record, View};
use stats::NullKind;

pub const ALPHA: f64 = 0.001;

/// An arm at a point, nothing measured yet. Arms that were not distilled have no surface, loss and budget.
pub fn suspect(arm: Arm, surface: &str, budget: u64, seed: u64) -> Record {
    let distilled = arm.is_distilled();
    let or_none = |text: &str| if distilled { text.to_string() } else { "-".to_string() };
    Record {
        schema: RECORD_SCHEMA,
        experiment: "made-up".into(),
        experiment_hash: "00".repeat(32),
        run_id: format!("{}-{surface}-{budget}-{seed}", arm.name()),
        seed,
        arm,
        surface: or_none(surface),
        loss: or_none("sequence_kd"),
        compute: or_none("fixed_steps"),
        budget_queries: distilled.then_some(budget),
        steps: distilled.then_some(781),
        train_tokens: distilled.then_some(400_000),
        device: "cpu".into(),
        ..Record::default()
    }
}

/// A planted watermark with p = 10^log10_p, measured on `suspect`.
pub fn mark(suspect: Record, name: &str, log10_p: f64) -> Record {
    Record {
        kind: Kind::Mark,
        mark: Some(name.into()),
        family: Some(Family::Watermark),
        scheme: Some("kgw".into()),
        view: Some(View::Served),
        access: Some("text".into()),
        planted: Some(true),
        audit_prompts: Some(400),
        audit_max_new_tokens: Some(48),
        statistic: Some(100.0),
        effect: Some(0.01 * -log10_p),
        effect_low: Some(0.01 * -log10_p - 0.02),
        effect_high: Some(0.01 * -log10_p + 0.02),
        n: Some(10_000),
        null: Some("permutation".into()),
        log10_p: Some(log10_p),
        ..suspect
    }
}

/// One mark, one surface, one seed: teacher, and at each budget a student with the given log10 p beside a clean control;
/// base and stranger clean too.
pub fn curve(name: &str, students: &[(u64, f64)], seed: u64) -> Vec<Record> {
    let mut records = vec![
        mark(suspect(Arm::Teacher, "-", 0, seed), name, -200.0),
        mark(suspect(Arm::Base, "-", 0, seed), name, -0.2),
        mark(suspect(Arm::Stranger, "-", 0, seed), name, -0.4),
    ];
    for &(budget, log10_p) in students {
        records.push(mark(suspect(Arm::Student, "text", budget, seed), name, log10_p));
        records.push(mark(suspect(Arm::Control, "text", budget, seed), name, -0.3));
    }
    records
}

/// The record of `arm` at `budget` (0: no budget).
pub fn of(records: &[Record], arm: Arm, budget: u64) -> &Record {
    let budget = (budget > 0).then_some(budget);
    records.iter().find(|r| r.arm == arm && r.budget_queries == budget && r.kind == Kind::Mark).unwrap()
}

/// Something like the survival experiment: four marks, two surfaces, four budgets, all arms, metrics, `seeds` repetitions.
pub fn quickstart(seeds: u64) -> Vec<Record> {
    const BUDGETS: [u64; 4] = [300, 1_000, 3_000, 10_000];
    // (mark, family, planted, effect unit, teacher, text students, logprob students, control level)
    type Row = (&'static str, Family, bool, &'static str, f64, [f64; 4], [f64; 4], f64);
    let rows: [Row; 4] = [
        ("kgw", Family::Watermark, true, "green rate \u{2212} 0.25", 290.0, [0.4, 1.1, 2.6, 6.3], [4.2, 12.0, 31.0, 74.0], 0.4),
        (
            "secret_sharer",
            Family::Canary,
            true,
            "mean exposure \u{2212} 1.44",
            4.0,
            [0.2, 0.7, 0.4, 0.9],
            [0.3, 0.9, 1.4, 2.2],
            0.5,
        ),
        ("secret_keys", Family::Probe, true, "keys answered", 48.0, [0.0; 4], [0.0, 0.0, 0.0, 1.2], 0.0),
        (
            "output_agreement",
            Family::Probe,
            false,
            "agreement \u{2212} rival's",
            120.0,
            [2.0, 5.0, 9.0, 14.0],
            [6.0, 11.0, 19.0, 28.0],
            8.0,
        ),
    ];
    let mut records = Vec::new();
    for seed in 0..seeds {
        for (name, family, planted, unit, teacher, text, logprobs, control) in rows {
            // a different but fixed jitter for each seed and point
            let mut step = 0;
            let mut add = |arm: Arm, surface: &str, budget: u64, evidence: f64| {
                step += 1;
                let jitter =
                    1.0 + 0.35 * libm::sin((seed as f64 + 1.0) * 12.9898 + f64::from(step) * 78.233) * (seeds.min(2) - 1) as f64;
                let evidence = (evidence * jitter).max(0.0);
                let effect = 0.012 * evidence.sqrt();
                let decoys = (family == Family::Watermark).then_some(999);
                records.push(Record {
                    family: Some(family),
                    planted: Some(planted),
                    effect: Some(effect),
                    effect_low: Some(effect - 0.009),
                    effect_high: Some(effect + 0.009),
                    effect_unit: Some(unit.into()),
                    null: Some(if family == Family::Watermark { "Binomial(10000, 0.25)" } else { "permutation" }.into()),
                    null_law: (family == Family::Watermark).then_some(NullKind::Binomial),
                    null_mean: (family == Family::Watermark).then_some(0.25),
                    decoys,
                    decoys_at_alpha: decoys.map(|_| u64::from(step % 3 == 0)),
                    log10_p_decoy: decoys.map(|_| (-evidence).max(-3.0)),
                    ..mark(suspect(arm, surface, budget, seed), name, -evidence)
                });
            };
            add(Arm::Teacher, "-", 0, teacher);
            add(Arm::Base, "-", 0, 0.3);
            add(Arm::Stranger, "-", 0, 0.6);
            for (surface, students) in [("text", text), ("top_logprobs(k=20,post)", logprobs)] {
                for (budget, evidence) in BUDGETS.into_iter().zip(students) {
                    add(Arm::Student, surface, budget, evidence);
                    add(Arm::Control, surface, budget, control);
                }
                add(Arm::Rival, surface, BUDGETS[3], 0.5);
            }
        }
        // the older test's evidence for the watermark
        for (surface, counts) in [("text", [0.2, 0.4, 0.9, 2.6]), ("top_logprobs(k=20,post)", [0.9, 3.2, 8.0, 21.0])] {
            for (budget, count) in BUDGETS.into_iter().zip(counts) {
                let metric = suspect(Arm::Student, surface, budget, seed).metric("count_log10_p", -count, "log10 p");
                records.push(Record { metric_of: Some("kgw".into()), ..metric });
            }
        }
        for surface in ["text", "top_logprobs(k=20,post)"] {
            for (i, budget) in BUDGETS.into_iter().enumerate() {
                for arm in [Arm::Student, Arm::Control] {
                    let id = suspect(arm, surface, budget, seed);
                    records.push(id.metric("held_out_loss", 2.9 - 0.12 * i as f64, "nats/token"));
                    records.push(id.metric("agreement", 0.41 + 0.05 * i as f64, "1"));
                    records.push(id.metric("exact_match", 0.02 * i as f64, "1"));
                    records.push(id.metric("queries", budget as f64, "queries"));
                    records.push(id.metric("train_flop", 2.4e12, "FLOP"));
                }
            }
        }
        records.push(suspect(Arm::Teacher, "-", 0, seed).metric("held_out_loss", 2.1, "nats/token"));
        let base = suspect(Arm::Base, "-", 0, seed).metric("held_out_loss", 3.2, "nats/token");
        records.push(Record { low: Some(3.15), high: Some(3.25), ..base });
        records.push(suspect(Arm::CleanTeacher, "-", 0, seed).metric("held_out_loss", 2.08, "nats/token"));
    }
    records
}

/// Two marks at twelve points of a grid of two axes, one surface, all arms.
pub fn grid() -> Vec<Record> {
    let mut records = Vec::new();
    for (i, delta) in [1.0, 2.0, 5.0, 10.0].into_iter().enumerate() {
        for width in [1, 2, 4] {
            let strength = delta / f64::from(width);
            for (name, family, scale) in [("kgw", Family::Watermark, 1.0), ("secret_sharer", Family::Canary, 0.15)] {
                let at = |arm: Arm, budget: u64, evidence: f64| Record {
                    family: Some(family),
                    axes: [
                        ("marks.wm.kgw.delta".to_string(), delta.to_string()),
                        ("marks.wm.kgw.width".to_string(), width.to_string()),
                        ("student.layers".to_string(), "4".to_string()),
                    ]
                    .into(),
                    ..mark(suspect(arm, "text", budget, 0), name, -evidence)
                };
                records.push(at(Arm::Teacher, 0, 40.0 + 20.0 * strength * scale));
                records.push(at(Arm::Base, 0, 0.3));
                records.push(at(Arm::Stranger, 0, 0.6));
                records.push(at(Arm::Rival, 10_000, 0.2 + 0.1 * i as f64));
                for (budget, share) in [(300, 0.3), (1_000, 1.0), (3_000, 2.5), (10_000, 6.0)] {
                    records.push(at(Arm::Student, budget, share * strength * scale));
                    records.push(at(Arm::Control, budget, 0.4 + 0.05 * i as f64));
                }
            }
        }
    }
    records
}

/// Sixty points of a grid of two axes: three marks, two surfaces' worth of arms on one, a false positive, and what the students are worth.
pub fn sixty(seeds: u64) -> Vec<Record> {
    let mut records = Vec::new();
    for seed in 0..seeds {
        for (i, delta) in [0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0].into_iter().enumerate() {
            for (j, width) in [0, 1, 2, 3, 4, 6].into_iter().enumerate() {
                let axes = [("marks.wm.kgw.delta", delta.to_string()), ("marks.wm.kgw.width", width.to_string())];
                let axes = axes.map(|(axis, value)| (axis.to_string(), value));
                let strength = delta / (1.0 + f64::from(width)) * (1.0 + 0.2 * seed as f64);
                let rows = [
                    ("kgw", Family::Watermark, true, 6.0),
                    ("secret_sharer", Family::Canary, true, 0.4),
                    ("agree", Family::Probe, false, 1.0),
                ];
                for (name, family, planted, scale) in rows {
                    let at = |arm: Arm, budget: u64, evidence: f64| {
                        let effect = 0.012 * evidence.sqrt();
                        Record {
                            family: Some(family),
                            planted: Some(planted),
                            axes: axes.clone().into(),
                            effect: Some(effect),
                            effect_low: Some(effect - 0.009),
                            effect_high: Some(effect + 0.009),
                            effect_unit: Some(format!("{name} rate \u{2212} 0.25")),
                            ..mark(suspect(arm, "text", budget, seed), name, -evidence)
                        }
                    };
                    records.push(at(Arm::Teacher, 0, 30.0 + 40.0 * strength));
                    records.push(at(Arm::Base, 0, 0.3));
                    let fires = (i, j, name) == (3, 2, "kgw");
                    records.push(at(Arm::Stranger, 0, if fires { 4.0 } else { 0.6 }));
                    records.push(at(Arm::Rival, 10_000, 0.2));
                    for (budget, share) in [(300, 0.3), (1_000, 1.0), (3_000, 2.5), (10_000, 6.0)] {
                        records.push(at(Arm::Student, budget, share * strength * scale));
                        let control = if planted { 0.4 + 0.05 * i as f64 } else { 0.7 * share * strength };
                        records.push(at(Arm::Control, budget, control));
                    }
                }
                for (budget, loss) in [(300, 3.4), (1_000, 3.0), (3_000, 2.7), (10_000, 2.5)] {
                    let id = Record { axes: axes.clone().into(), ..suspect(Arm::Student, "text", budget, seed) };
                    let value = loss + 0.01 * delta;
                    let metric = id.metric("held_out_loss", value, "nats/token");
                    records.push(Record { low: Some(value - 0.03), high: Some(value + 0.03), ..metric });
                    records.push(id.metric("agreement", 0.9 - 0.2 * value, "1"));
                }
                let base = Record { axes: axes.clone().into(), ..suspect(Arm::Base, "-", 0, seed) };
                records.push(base.metric("held_out_loss", 3.2, "nats/token"));
            }
        }
    }
    records
}

/// A CSV file that was read back.
pub struct Csv {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Csv {
    pub fn read(text: &str) -> Self {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().iter().map(str::to_string).collect();
        let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_string).collect()).collect();
        Self { header, rows }
    }

    #[track_caller]
    pub fn column(&self, name: &str) -> usize {
        self.header.iter().position(|own| own == name).unwrap_or_else(|| panic!("no column {name} in {:?}", self.header))
    }

    /// What stands in `column` of the rows that have all of `wanted`.
    #[track_caller]
    pub fn rows_of(&self, wanted: &[(&str, &str)], column: &str) -> Vec<String> {
        let is = |row: &&Vec<String>| wanted.iter().all(|(name, value)| row[self.column(name)] == *value);
        let found: Vec<String> = self.rows.iter().filter(is).map(|row| row[self.column(column)].clone()).collect();
        assert!(!found.is_empty(), "no row has {wanted:?}");
        found
    }
}
