use ::marks::{MarkEntry, Needs, Phase, Whom};
use oracle::ConfigError;

use super::Check;
use crate::config_error::nearest;
use crate::experiment::Experiment;

/// Names of models that a second round may ask beside those of `[models]`.
const MODELS: [&str; 3] = ["clean", "base", "stranger"];

impl Check<'_> {
    /// Each mark by itself, and marks beside each other.
    pub(super) fn marks(&mut self, experiment: &Experiment) {
        if experiment.marks.is_empty() {
            self.problem("marks", "no mark at all", "add `[marks.NAME.KIND]`; `birthmark list marks` names the kinds");
        }
        let mut changes_law: Option<&str> = None;
        for (name, entry) in &experiment.marks {
            let key = format!("marks.{name}");
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(fits) {
                self.problem(&key, "not usable as the name of a mark", "use letters, digits, `-` and `_`");
            }
            let Some(needs) = self.mark(&key, entry) else { continue };
            self.named_models(experiment, &key, &needs);
            self.served(experiment, &key, entry);
            self.read_mark(experiment, &key, &needs);
            if needs.changes_drawn_law && !entry.stack {
                if let Some(first) = changes_law {
                    let what = format!("it changes the law that answers are drawn from, as `{first}` does");
                    self.problem(&key, what, "keep one of them, or say that they are meant to stack: `stack = true`");
                }
                changes_law = changes_law.or(Some(name));
            }
        }
    }

    /// That somebody asks whose answers may be without the mark, and somebody whose are not.
    fn served(&mut self, experiment: &Experiment, key: &str, entry: &MarkEntry) {
        let said = entry.mark_rate.map(|_| "mark_rate").or(entry.opt_out.as_ref().map(|_| "opt_out"));
        if let (Some(said), Some(_)) = (said, &experiment.transcript) {
            let what = "the answers of `[transcript]` were given outside, with whatever mark they have";
            self.problem(&format!("{key}.{said}"), what, "drop it");
            return;
        }
        let Some(opt_out) = &entry.opt_out else { return };
        let (accounts, key) = (experiment.queries.accounts, format!("{key}.opt_out.accounts"));
        if let Some(unknown) = opt_out.accounts.iter().find(|account| **account >= accounts) {
            let remedy = format!("write numbers below `queries.accounts`, which is {accounts}");
            self.problem(&key, format!("no account {unknown} asks"), remedy);
        } else if (0..accounts).all(|account| opt_out.accounts.contains(&account)) {
            self.problem(&key, "every account that asks is without the mark", "leave one out, or raise `queries.accounts`");
        }
    }

    /// That the mark which another one reads is there, and changes the drawn law under one key.
    fn read_mark(&mut self, experiment: &Experiment, key: &str, needs: &Needs) {
        let Some(read) = &needs.reads else { return };
        let Some(Ok(read)) = self.known_mark(key, experiment, read).map(MarkEntry::config) else { return };
        let of = read.needs();
        if of.phase != Phase::Service || !of.changes_drawn_law || of.accounts > 0 {
            let what = format!("it reads a {}, which is no change of the drawn law under one key", read.info().name);
            self.problem(key, what, "name a watermark of the answers that all accounts share");
        }
    }

    /// That the mark which is tested first is there.
    pub(super) fn primary(&mut self, experiment: &Experiment) {
        if let Some(primary) = &experiment.primary {
            self.known_mark("primary", experiment, primary);
        }
    }

    /// The mark called `name`, which `key` names; a problem where there is none.
    pub(super) fn known_mark<'e>(&mut self, key: &str, experiment: &'e Experiment, name: &str) -> Option<&'e MarkEntry> {
        let found = experiment.marks.get(name);
        if found.is_none() {
            let known: Vec<String> = experiment.marks.keys().map(|name| format!("`{name}`")).collect();
            let meant = nearest(name, experiment.marks.keys().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
            let remedy = meant.unwrap_or_else(|| format!("marks here: {}", known.join(", ")));
            self.problem(key, "no mark of that name in `[marks]`", remedy);
        }
        found
    }

    /// What the mark needs, unless something is wrong with it.
    fn mark(&mut self, key: &str, entry: &MarkEntry) -> Option<Needs> {
        match (entry.config(), entry.validate()) {
            (Ok(config), Ok(())) => Some(config.needs()),
            (Ok(_), Err(error)) => {
                self.problem(&format!("{key}.{}", error.key), "out of range", error.remedy);
                None
            }
            (Err(error), _) => {
                let place = if error.key.is_empty() { key.to_string() } else { format!("{key}.{}", error.key) };
                // the first of two kinds is named by the second, or the other way round: the flag's takes the file's place
                let kinds = entry.given().into_iter().map(|config| format!("{key}.{}", config.info().name));
                let typed = kinds.filter(|kind| *kind != key).find_map(|kind| self.in_place(key, &kind));
                self.problem(&place, error.value, typed.unwrap_or(error.remedy));
                None
            }
        }
    }

    fn named_models(&mut self, experiment: &Experiment, key: &str, needs: &Needs) {
        let asked = needs.second_round.iter().filter_map(|whom| if let Whom::Named(name) = whom { Some(name) } else { None });
        for name in asked.chain(&needs.author) {
            let roles = if needs.author.as_ref() == Some(name) { &[][..] } else { &MODELS };
            self.named_model(experiment, key, name, roles);
        }
    }

    /// That `name`, which `key` names, is one of `[models]` or of `roles`.
    pub(super) fn named_model(&mut self, experiment: &Experiment, key: &str, name: &str, roles: &[&str]) {
        let known: Vec<&str> = experiment.models.keys().map(String::as_str).chain(roles.iter().copied()).collect();
        if !known.contains(&name) {
            let remedy = match nearest(name, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("add `{name} = \"DIRECTORY\"` to `[models]`"),
            };
            self.problem(key, format!("it names the model `{name}`, which is not there"), remedy);
        }
    }

    /// How marks get into training data and weights.
    pub(super) fn planting(&mut self, experiment: &Experiment) {
        let needs: Vec<Needs> = experiment.marks.values().filter_map(|entry| Some(entry.config().ok()?.needs())).collect();
        self.texts(experiment, needs.iter().any(|needs| needs.phase == Phase::Data));
        let named = |wanted: fn(&Needs) -> bool| {
            experiment
                .marks
                .iter()
                .find(|(_, entry)| entry.config().is_ok_and(|config| wanted(&config.needs())))
                .map(|(name, _)| name)
        };
        let (items, law) =
            (named(|needs| needs.phase == Phase::Weights && !needs.distilled_law), named(|needs| needs.distilled_law));
        let (implant, distillation) = (&experiment.planting.implant, &experiment.planting.distillation);
        let implant = implant.as_ref().map(|implant| implant.validate());
        self.enters_weights("implant", items, implant, "it has to be implanted", "a mark that is implanted");
        let distillation = distillation.as_ref().map(|distillation| distillation.validate());
        let learns = "its law has to enter the weights";
        self.enters_weights("distillation", law, distillation, learns, "a mark whose law enters the weights");
    }

    /// `[planting.KEY]` and the first mark that needs it.
    fn enters_weights(
        &mut self,
        key: &str,
        mark: Option<&String>,
        config: Option<Result<(), ConfigError>>,
        missing: &str,
        wanted: &str,
    ) {
        let key = format!("planting.{key}");
        match (config, mark) {
            (None, Some(name)) => self.problem(&format!("marks.{name}"), missing, format!("add `[{key}]`")),
            (Some(_), None) => self.problem(&key, "no mark needs it", format!("drop it, or add {wanted}")),
            (Some(Err(error)), Some(_)) => self.problem(&format!("{key}.{}", error.key), "out of range", error.remedy),
            (Some(Ok(())), Some(_)) | (None, None) => {}
        }
    }

    fn texts(&mut self, experiment: &Experiment, planted: bool) {
        let teacher = &experiment.teacher;
        let tokens = match (&teacher.train, &teacher.continued) {
            (Some(plan), _) => plan.tokens,
            (None, Some(plan)) => plan.tokens,
            (None, None) => 0,
        };
        match (planted, experiment.planting.canaries_after_tokens) {
            (true, None) => {
                let remedy = "add `planting.canaries_after_tokens = …`: 0, or a point within the training";
                self.problem("marks", "no place for the planted texts", remedy);
            }
            (false, Some(_)) => {
                let remedy = "drop it, or add a mark that plants texts";
                self.problem("planting.canaries_after_tokens", "no mark plants texts", remedy);
            }
            (true, Some(_)) if tokens == 0 && teacher.model.is_some() => {
                let remedy = "add `teacher.continued = { … }`: texts enter an open model by further training";
                self.problem("marks", "the teacher is not trained here, so no text can be planted", remedy);
            }
            (true, Some(after)) if after >= tokens && tokens > 0 => {
                let what = format!("the teacher is trained on {tokens} tokens only");
                self.problem("planting.canaries_after_tokens", what, "write less");
            }
            _ => {}
        }
    }
}
