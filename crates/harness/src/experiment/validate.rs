//! Checks that types cannot make: ranges, orders, and values that must agree with each other.
//!
//! Nothing is read and no weight is loaded here; what depends on other files is checked by [`crate::resolve`].

mod adapters;
mod against;
mod apart;
mod counts;
pub mod expect;
mod imported;
mod marks;
mod single_pass;
mod surfaces;
mod tokenizers;
mod words;

use distill::Choosing;
use distill::loss::check_surface;
use oracle::Sampling;

use super::{BaseConfig, Experiment, Pretraining, TokenizerConfig};
use crate::chat::day;
use crate::config_error::Problem;
use crate::document::{Step, steps};
use crate::loaded::Loaded;

/// Most queries of a shard, which is held in memory whole.
const MAX_SHARD: u64 = 1 << 20;

/// Most decoy keys: a rank among more is finer than any level, and they take as much longer.
const MAX_DECOYS: usize = 99_999;

/// Smallest level that a rank among so many can reach.
const LEAST_ALPHA: f64 = 1e-5;

/// Everything that is wrong with an experiment as far as its file alone shows, in the order of its keys.
pub fn validate(loaded: &Loaded<Experiment>) -> Vec<Problem> {
    let mut check = Check { loaded, problems: Vec::new() };
    let experiment = &loaded.value;
    check.words();
    check.counts(experiment);
    check.header(experiment);
    check.owner(experiment);
    check.data(experiment);
    check.optimizer(experiment);
    check.models(experiment);
    check.marks(experiment);
    check.primary(experiment);
    check.marks_apart(experiment);
    check.planting(experiment);
    check.defences_and_attacks(experiment);
    check.transcript(experiment);
    check.queries(experiment);
    check.channels(experiment);
    check.student(experiment);
    check.measurement(experiment);
    check.problems
}

struct Check<'a> {
    loaded: &'a Loaded<Experiment>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let path: Vec<Step> = steps(key).unwrap_or_default();
        self.problems.push(self.loaded.problem(&path, what, remedy));
    }

    fn at_least(&mut self, key: &str, value: u64, least: u64) {
        if value < least {
            self.problem(key, "too small", format!("write {least} or more"));
        }
    }

    fn within(&mut self, key: &str, value: f64, fits: impl Fn(f64) -> bool, remedy: &str) {
        if !fits(value) {
            self.problem(key, "out of range", remedy);
        }
    }

    fn header(&mut self, experiment: &Experiment) {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if experiment.name.is_empty() || !experiment.name.chars().all(fits) {
            self.problem("name", "not usable as the name of a folder", "use letters, digits, `-` and `_`");
        }
        for (key, text) in [("question", &experiment.question), ("hypothesis", &experiment.hypothesis)] {
            if text.trim().is_empty() {
                self.problem(key, "empty", "write it down before the first run");
            }
        }
        if experiment.seeds.is_empty() {
            self.problem("seeds", "empty", "give at least one seed, for example [1]");
        }
        for (index, seed) in experiment.seeds.iter().enumerate() {
            if experiment.seeds[..index].contains(seed) {
                self.problem(&format!("seeds[{index}]"), "given twice", "every seed is one repetition; drop it or take another");
            }
        }
        self.within(
            "alpha",
            experiment.alpha,
            |x| x > 0.0 && x <= 0.05,
            "write a number above 0 and at most 0.05, usually 0.001",
        );
        if experiment.alpha > 0.0 && experiment.alpha < LEAST_ALPHA {
            let what = format!("a rank among {MAX_DECOYS} decoy keys, the most there are, never reaches it");
            self.problem("alpha", what, format!("write {LEAST_ALPHA:e} or more, usually 0.001"));
        }
    }

    fn owner(&mut self, experiment: &Experiment) {
        let owner = &experiment.owner;
        match (&owner.secret, &owner.secret_file) {
            (Some(_), Some(_)) => self.problem("owner.secret_file", "there is a `secret` too", "keep one of them"),
            (None, None) => self.problem("owner", "no secret", "add `secret_file = \"PATH\"` (mode 600), or `secret = \"…\"`"),
            (Some(secret), None) if secret.is_empty() => self.problem("owner.secret", "empty", "write some text"),
            _ => {}
        }
    }

    fn data(&mut self, experiment: &Experiment) {
        match &experiment.tokenizer {
            TokenizerConfig::Bpe(bpe) => {
                self.trained_tokenizer("tokenizer", bpe);
                for (key, model) in [("teacher.model", &experiment.teacher.model), ("stranger.model", &experiment.stranger.model)]
                {
                    if model.is_some() {
                        self.problem(key, "a trained model does not fit a new tokenizer", "write tokenizer = \"of_teacher\"");
                    }
                }
            }
            TokenizerConfig::OfTeacher if experiment.teacher.model.is_none() => {
                self.problem(
                    "tokenizer",
                    "the teacher is trained here and brings no tokenizer",
                    "write tokenizer = { bpe = { … } }",
                );
            }
            TokenizerConfig::OfTeacher => {}
        }
    }

    fn optimizer(&mut self, experiment: &Experiment) {
        let o = &experiment.optimizer;
        self.within("optimizer.warmup_fraction", o.warmup_fraction, |x| (0.0..=1.0).contains(&x), "write 0 to 1");
        self.within("optimizer.final_lr_fraction", o.final_lr_fraction, |x| (0.0..=1.0).contains(&x), "write 0 to 1");
        self.within(
            "optimizer.weight_decay",
            o.weight_decay,
            |x| (0.0..=10.0).contains(&x),
            "write 0 or more, usually 0.01 to 0.1",
        );
        self.within("optimizer.beta1", o.beta1, |x| (0.0..1.0).contains(&x), "write 0 or more, below 1");
        self.within("optimizer.beta2", o.beta2, |x| (0.0..1.0).contains(&x), "write 0 or more, below 1");
        self.within("optimizer.grad_clip", o.grad_clip, |x| (0.0..1e9).contains(&x), "write 0 or more, usually 1");
        self.within("optimizer.epsilon", o.epsilon, |x| x > 0.0 && x < 1.0, "write a number above 0, usually 1e-8");
        self.at_least("optimizer.logical_shards", o.logical_shards as u64, 1);
    }

    fn learning_rate(&mut self, key: &str, rate: f64) {
        self.within(key, rate, |x| x > 0.0 && x <= 1.0, "write a number above 0 and at most 1, usually 1e-4 to 1e-2");
    }

    fn pretraining(&mut self, key: &str, plan: &Pretraining) {
        self.rows(key, plan.tokens, plan.row_tokens, plan.batch_rows, plan.peak_lr);
        // ids of special tokens are not known yet and play no part in whether the shape holds together
        if let Err(error) = lm::ModelConfig::from_architecture(&plan.architecture, 1024, None, None) {
            self.architecture(&format!("{key}.architecture"), &error);
        }
    }

    fn architecture(&mut self, key: &str, error: &oracle::ConfigError) {
        let key = match self.loaded.inner_table(key) {
            Some(variant) => format!("{key}.{variant}.{}", error.key),
            None => key.to_string(),
        };
        self.problem(&key, "does not fit", error.remedy.clone());
    }

    fn rows(&mut self, key: &str, tokens: u64, row_tokens: usize, batch_rows: usize, peak_lr: f64) {
        self.at_least(&format!("{key}.tokens"), tokens, 1);
        self.at_least(&format!("{key}.row_tokens"), row_tokens as u64, 2);
        self.batch(&format!("{key}.batch_rows"), batch_rows);
        self.learning_rate(&format!("{key}.peak_lr"), peak_lr);
    }

    fn batch(&mut self, key: &str, batch_rows: usize) {
        let shards = self.loaded.value.optimizer.logical_shards;
        if batch_rows < shards.max(1) {
            self.problem(
                key,
                format!("a batch is summed in {shards} parts"),
                format!("write {} or more, or lower `optimizer.logical_shards`", shards.max(1)),
            );
        }
    }

    fn models(&mut self, experiment: &Experiment) {
        let teacher = &experiment.teacher;
        self.one_source("teacher", teacher.train.is_some(), teacher.model.is_some());
        if let Some(plan) = &teacher.train {
            self.pretraining("teacher.train", plan);
            if teacher.continued.is_some() {
                self.problem("teacher.continued", "only an open model is trained further", "drop it, or name a `teacher.model`");
            }
        }
        if let Some(plan) = &teacher.continued {
            self.rows("teacher.continued", plan.tokens, plan.row_tokens, plan.batch_rows, plan.peak_lr);
        }
        let stranger = &experiment.stranger;
        self.one_source("stranger", stranger.train.is_some(), stranger.model.is_some());
        if let Some(plan) = &stranger.train {
            self.pretraining("stranger.train", plan);
        }
        match &experiment.base {
            BaseConfig::Train(plan) => self.pretraining("base.train", plan),
            BaseConfig::Cold(cold) => {
                if let Err(error) = lm::ModelConfig::from_architecture(&cold.architecture, 1024, None, None) {
                    self.architecture("base.cold.architecture", &error);
                }
            }
            BaseConfig::Model(_) => {}
        }
    }

    /// How the value that a flag gave at `key` takes the place of the table around it.
    fn in_place(&self, table: &str, key: &str) -> Option<String> {
        let path = steps(key)?;
        let node = self.loaded.node(&path).filter(|_| self.loaded.is_from_flag(&path))?;
        let Some(Step::Key(name)) = path.last() else { return None };
        Some(format!("to replace the table write --set '{table}={{ {name} = {} }}'", node.to_line()))
    }

    fn one_source(&mut self, key: &str, train: bool, model: bool) {
        match (train, model) {
            (true, true) => {
                let model = format!("{key}.model");
                let remedy = self.in_place(key, &model).unwrap_or_else(|| "keep one of them".into());
                self.problem(&model, "there is a `train` too", remedy);
            }
            (false, false) => self.problem(key, "no model", "add `train = { … }` or `model = \"DIRECTORY\"`"),
            _ => {}
        }
    }

    fn sampling(&mut self, key: &str, sampling: &Sampling) {
        let (temperature, top_p) = (f64::from(sampling.temperature), f64::from(sampling.top_p));
        self.within(
            &format!("{key}.temperature"),
            temperature,
            |x| (0.0..=100.0).contains(&x),
            "write 0 (greedy) or more, usually 1",
        );
        self.within(&format!("{key}.top_p"), top_p, |x| x > 0.0 && x <= 1.0, "write a number above 0 and at most 1");
        let min_p = f64::from(sampling.min_p);
        self.within(&format!("{key}.min_p"), min_p, |x| (0.0..=1.0).contains(&x), "write 0 (keeps all) or a number up to 1");
    }

    fn queries(&mut self, experiment: &Experiment) {
        let queries = &experiment.queries;
        self.at_least("queries.prompt_tokens", queries.prompt_tokens as u64, 1);
        self.at_least("queries.max_new_tokens", queries.max_new_tokens as u64, 1);
        self.at_least("queries.accounts", u64::from(queries.accounts), 1);
        if queries.chat && experiment.teacher.model.is_none() {
            let what = "a teacher that is trained here has no chat template";
            self.problem("queries.chat", what, "drop it, or name a `teacher.model` that has one");
        }
        if let Some(date) = &queries.chat_date {
            if day(date).is_none() {
                self.problem("queries.chat_date", "no day of the calendar", "write it as \"2026-01-31\", from 1970 on");
            } else if !queries.chat && experiment.transcript.is_none() {
                let what = "no question is put in a chat template";
                self.problem("queries.chat_date", what, "drop it, or write queries.chat = true");
            }
        }
        self.sampling("queries.sampling", &queries.sampling);
        if !(1..=MAX_SHARD).contains(&queries.shard_queries) {
            self.problem("queries.shard_queries", "out of range", format!("write 1 to {MAX_SHARD}, usually 32768"));
        }
        if queries.budgets.is_empty() {
            self.problem("queries.budgets", "empty", "give at least one number of queries, for example [300, 1000]");
        }
        for (index, &budget) in queries.budgets.iter().enumerate() {
            let key = format!("queries.budgets[{index}]");
            if budget == 0 {
                self.problem(&key, "a budget of 0 buys nothing", "write 1 or more; the base arm is the student at 0");
            } else if index > 0 && budget <= queries.budgets[index - 1] {
                self.problem(&key, format!("not above {} before it", queries.budgets[index - 1]), "budgets must increase");
            }
        }
    }

    fn channels(&mut self, experiment: &Experiment) {
        if experiment.distill.is_empty() {
            self.problem("distill", "empty", "add a [[distill]] table with `surface` and `loss`");
        }
        for (index, channel) in experiment.distill.iter().enumerate() {
            let key = format!("distill[{index}]");
            let loss = channel.loss.build();
            if let Err(error) = channel.loss.validate() {
                self.problem(&format!("{key}.loss.{}.{}", loss.name(), error.key), "out of range", error.remedy);
            }
            if let Err(error) = check_surface(&*loss, &channel.surface) {
                self.problem(&format!("{key}.loss"), error.to_string(), "");
            }
            self.surface(&format!("{key}.surface"), experiment, &channel.surface);
            if experiment.distill[..index].contains(channel) {
                self.problem(&key, "the same surface and loss as before", "drop it");
            } else if experiment.distill[..index]
                .iter()
                .any(|c| c.surface.label() == channel.surface.label() && c.loss.build().name() == loss.name())
            {
                self.problem(
                    &key,
                    "the same surface and kind of loss as before",
                    "put it into another experiment: records name losses by kind",
                );
            }
        }
    }

    fn student(&mut self, experiment: &Experiment) {
        let student = &experiment.student;
        if let Err(error) = student.compute.validate() {
            self.problem(&format!("student.{}", error.key), "out of range", error.remedy);
        }
        self.student_tokenizer(experiment);
        self.single_pass(experiment);
        self.batch("student.batch_rows", student.batch_rows);
        self.choosing(experiment);
        self.adapter(experiment);
    }

    /// A rate is said once: beside the compute rule, or in each trial that the thief chooses among.
    fn choosing(&mut self, experiment: &Experiment) {
        let student = &experiment.student;
        match (student.choosing(), student.peak_lr) {
            (None, Some(rate)) => self.learning_rate("student.peak_lr", rate),
            (None, None) => self.problem("student.peak_lr", "missing", "write a number, usually 1e-4 to 1e-2"),
            (Some(_), Some(_)) => {
                self.problem("student.peak_lr", "every trial of `compute.chosen` says its own rate", "drop this key");
            }
            (Some(choosing), None) => {
                let least = experiment.queries.budgets.first().copied().unwrap_or(0);
                let held = choosing.held_out_of(least);
                if held < Choosing::LEAST_HELD_OUT {
                    let what = format!("{held} of {least} answers, the smallest budget's, are too few to choose on");
                    let remedy = format!("hold out {} or more of them, or raise the budget", Choosing::LEAST_HELD_OUT);
                    self.problem("student.compute.chosen.held_out", what, remedy);
                }
            }
        }
    }

    fn measurement(&mut self, experiment: &Experiment) {
        let (audit, measure) = (&experiment.audit, &experiment.measure);
        self.at_least("audit.prompts", audit.prompts, 1);
        if let (Some(apart), Some(&largest)) = (audit.apart_from_queries, experiment.queries.budgets.iter().max())
            && apart < largest
        {
            let what = format!("the largest budget asks {largest} queries");
            self.problem("audit.apart_from_queries", what, format!("write {largest} or more, or leave it out"));
        }
        self.at_least("audit.prompt_tokens", audit.prompt_tokens as u64, 1);
        self.at_least("audit.max_new_tokens", audit.max_new_tokens as u64, 1);
        self.sampling("audit.sampling", &audit.sampling);
        self.at_least("measure.held_out_documents", measure.held_out_documents, 1);
        // of a level that cannot be nothing follows
        let needed =
            Some(experiment.alpha).filter(|alpha| (LEAST_ALPHA..=0.05).contains(alpha)).map(|alpha| (1.0 / alpha).ceil() - 1.0);
        for (key, draws) in [("measure.decoys", measure.decoys as f64), ("measure.permutations", measure.permutations as f64)] {
            if let Some(needed) = needed.filter(|&needed| draws < needed) {
                let what = format!("its p-values never reach alpha = {}", experiment.alpha);
                self.problem(key, what, format!("write {needed} or more"));
            }
        }
        if measure.decoys > MAX_DECOYS {
            self.problem("measure.decoys", "too many", format!("write {MAX_DECOYS} or less"));
        }
        if let Some(tasks) = &measure.tasks {
            self.at_least("measure.tasks.per_kind", tasks.per_kind, 1);
            self.at_least("measure.tasks.max_new_tokens", tasks.max_new_tokens as u64, 1);
        }
    }
}
