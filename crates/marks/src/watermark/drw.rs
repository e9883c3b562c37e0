//! DRW: a cosine in the probability of one label. Zhao, Li and Wang, *Distillation-Resistant Watermarking for Model Protection in NLP*,
//! Findings of EMNLP 2022 (arXiv 2210.03312). Methods a7.
//!
//! A token of the prompt has a keyed number x. The probability of the target label becomes (p + epsilon (1 + cos f x)) / (1 + 2 epsilon);
//! the others share epsilon (1 - cos f x). A model that learns from the posterior learns the cosine. So does one that learns from labels
//! alone, where the most probable label became another.
//!
//! The authors' statistic is a ratio of powers in a periodogram, read off a threshold. It stands beside ours in the metrics, with its rank
//! among decoy keys. Ours is the keyed correlation: the suspect's probability of the target, less what the raw teacher's explains, against
//! cos f x. Under a random key the x of distinct tokens are independent and uniform, whatever the suspect and the prompts are, so Chernoff's
//! bound of that sum holds exactly.

use std::borrow::Cow;
use std::sync::Arc;

use oracle::{ConfigError, Exchange, LogitsProcessor, ScoreItem, TokenId};
use serde::{Deserialize, Serialize};

use crate::case::{exchanges, scores};
use crate::keyed::Choices;
use crate::sinusoid::{CosineLaw, Phases, Place, Places, Shown, Waves, check_wave};
use crate::{
    AnyKey, Bed, Case, Claim, Decoys, Family, Finding, FollowUp, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, Phase,
    Planting, Question, Seen, Whom, identity,
};

mod posterior;
#[cfg(test)]
mod tests;

use posterior::{MovedPosterior, label_tokens, most_probable, posterior};

const KIND: &str = "drw";

/// Parameters of the watermark of labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrwConfig {
    /// The labels, as the surface has them. They begin with different tokens.
    pub labels: Vec<String>,
    /// The label whose probability follows the cosine; all others have the phase pi.
    pub target: String,
    /// How far it is moved: the amplitude is epsilon / (1 + 2 epsilon). The authors use 0.2.
    pub epsilon: f64,
    /// f, radians per unit of x. The authors use 16.
    pub frequency: f64,
    /// Share of the tokens whose prompts are marked, above 0 and up to 1. The authors use 0.5.
    pub marked_share: f64,
    /// Which token of the prompt has the number x, from 1; the beginning-of-text token is not counted. The authors use 2. Shorter prompts
    /// are not marked.
    pub position: usize,
    /// Which prompts are marked.
    #[serde(default, skip_serializing_if = "Inputs::is_default")]
    pub inputs: Inputs,
    /// What is taken of the suspect: its posterior (`laws`), or the labels that it answers with (`answers`), which text is enough for.
    #[serde(default = "Choices::laws", skip_serializing_if = "Choices::is_laws")]
    pub suspect: Choices,
    /// Share of the prompts that the published statistic keeps, those where the suspect's target probability is largest. The authors use
    /// 0.95 and 0.98.
    #[serde(default = "kept", skip_serializing_if = "is_kept")]
    pub kept: f64,
}

fn kept() -> f64 {
    0.95
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_kept(share: &f64) -> bool {
    *share == kept()
}

/// Which prompts are marked, of those whose token is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Inputs {
    /// All, as the paper's formulas have it.
    #[default]
    All,
    /// Those whose most probable label is the target, as the authors' code has it.
    Target,
}

impl Inputs {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl MarkConfig for DrwConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.suspect.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark drw",
            source: "Zhao et al., Distillation-Resistant Watermarking, Findings of EMNLP 2022, arXiv 2210.03312",
            summary: "a label's probability follows a cosine of a keyed number of one token of the prompt",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.labels.len() < 2 {
            return Err(ConfigError::new("labels", format!("{:?}", self.labels), "give two labels or more"));
        }
        if let Some(twice) = self.labels.iter().enumerate().find(|(at, label)| self.labels[..*at].contains(label)) {
            return Err(ConfigError::new("labels", format!("{:?} twice", twice.1), "give each label once"));
        }
        if !self.labels.contains(&self.target) {
            let remedy = format!("use one of the labels, for example {:?}", self.labels[0]);
            return Err(ConfigError::new("target", format!("{:?}", self.target), remedy));
        }
        check_wave(self.epsilon, self.frequency)?;
        for (key, share, example) in [("marked_share", self.marked_share, 0.5), ("kept", self.kept, kept())] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(ConfigError::new(key, share, format!("use a share above 0 and up to 1, for example {example}")));
            }
        }
        Place::check(self.position)
    }

    fn needs(&self) -> Needs {
        Needs {
            phase: Phase::Service,
            changes_drawn_law: true,
            second_round: vec![Whom::Teacher],
            // exact by construction
            decoys: Decoys::SelfTest,
            ..Needs::default()
        }
    }

    fn build(&self, owner: &Owner<'_>) -> Result<Arc<dyn Mark>, MarkError> {
        let tokens = label_tokens(&self.labels, &**owner.codec)?;
        let target = self.labels.iter().position(|label| *label == self.target).unwrap_or_default();
        let place = Place { bos: owner.codec.bos(), position: self.position };
        let law = Arc::new(MovedPosterior {
            // how it is judged changes nothing that is served
            name: identity(&self.planted(), owner.key),
            tokens: tokens.clone(),
            target,
            epsilon: self.epsilon,
            frequency: self.frequency,
            share: self.marked_share,
            of_target: self.inputs == Inputs::Target,
            place,
            phases: Phases::of(owner.key, KIND),
        });
        let cosine = CosineLaw::new(self.frequency);
        Ok(Arc::new(Drw { config: self.clone(), tokens, target, place, law, cosine, key: owner.key.clone() }))
    }

    fn examples() -> Vec<Self> {
        let example = Self {
            labels: ["a", "b"].map(String::from).into(),
            target: "b".into(),
            epsilon: 0.2,
            frequency: 16.0,
            marked_share: 0.5,
            position: 2,
            inputs: Inputs::All,
            suspect: Choices::Laws,
            kept: kept(),
        };
        let labels = ["x", "y", "z"].map(String::from).into();
        let coded = Self { labels, target: "x".into(), marked_share: 1.0, inputs: Inputs::Target, kept: 0.98, ..example.clone() };
        vec![example, coded]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("labels", r#"["b"]"#),
            ("labels", r#"["b", "a", "b"]"#),
            ("target", r#""c""#),
            ("epsilon", "0.0"),
            ("epsilon", "-0.2"),
            ("epsilon", "1e300"),
            ("frequency", "0.5"),
            ("frequency", "251.0"),
            ("marked_share", "0.0"),
            ("marked_share", "1.5"),
            ("kept", "0.0"),
            ("position", "0"),
        ]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { suspect: Choices::Laws, kept: kept(), ..self.clone() }
    }

    /// None: its labels need a tokenizer with words.
    fn timed() -> Vec<(String, Self)> {
        Vec::new()
    }

    /// Prompts enough for many distinct tokens; answers are not read.
    fn bed(&self) -> Bed {
        Bed { prompts: 300, max_new_tokens: 1, ..Bed::default() }
    }
}

struct Drw {
    config: DrwConfig,
    /// The first token of each label.
    tokens: Vec<TokenId>,
    /// Number of the target.
    target: usize,
    place: Place,
    law: Arc<MovedPosterior>,
    cosine: CosineLaw,
    key: Key,
}

impl Drw {
    /// The labels' probabilities after each prompt of `asked`, from the scores of number `at` of `seen`: (prompts, labels).
    fn posteriors(&self, asked: &[Exchange], seen: &[Seen], at: usize) -> Result<Vec<Vec<f64>>, MarkError> {
        let scores = scores(KIND, seen, at)?;
        if scores.len() != asked.len() * self.tokens.len() {
            let reason = format!(
                "{} labels after {} prompts were asked about, {} scores came back",
                self.tokens.len(),
                asked.len(),
                scores.len()
            );
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        let of_prompt = |(prompt, scores): (usize, &[f64])| {
            posterior(scores).ok_or_else(|| {
                MarkError::unmeasurable(KIND, format!("no label has a probability after prompt {prompt} of the audit"))
            })
        };
        scores.chunks(self.tokens.len()).enumerate().map(of_prompt).collect()
    }

    /// What the suspect shows after each prompt that may be marked, and after which of them the target is most probable.
    fn shown(&self, case: &Case<'_>, answers: &[Exchange]) -> Result<Vec<(Shown, bool)>, MarkError> {
        let teacher = self.posteriors(answers, case.second, 0)?;
        let own = match self.config.suspect {
            Choices::Laws => Some(self.posteriors(answers, case.second, 1)?),
            Choices::Answers => None,
        };
        let (mut shown, mut long_enough) = (Vec::new(), 0);
        for (at, (answer, teacher)) in answers.iter().zip(&teacher).enumerate() {
            let Some(token) = self.place.of(&answer.query.prompt) else { continue };
            long_enough += 1;
            let of_target = most_probable(teacher) == self.target;
            if self.config.inputs == Inputs::Target && !of_target {
                continue;
            }
            let value = match &own {
                Some(own) => own[at][self.target],
                // an answer that is no label says nothing
                None => match answer.answer.first().and_then(|first| self.tokens.iter().position(|token| token == first)) {
                    Some(label) => f64::from(u8::from(label == self.target)),
                    None => continue,
                },
            };
            shown.push((Shown { token, value, expected: teacher[self.target], size: 1.0 }, of_target));
        }
        if long_enough == 0 && !answers.is_empty() {
            let reason = format!(
                "no audit prompt has {} tokens, and token {0} has the phase; raise `audit.prompt_tokens`",
                self.config.position
            );
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        Ok(shown)
    }

    /// The inputs of the published statistic: prompts of the target (their labels are the raw teacher's), less the least probable ones.
    fn published(&self, shown: &[(Shown, bool)]) -> Vec<(TokenId, f64)> {
        let mut kept: Vec<(TokenId, f64)> =
            shown.iter().filter(|(_, of_target)| *of_target).map(|(shown, _)| (shown.token, shown.value)).collect();
        let mut values: Vec<f64> = kept.iter().map(|(_, value)| *value).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        let count = (values.len() as f64 * self.config.kept) as usize;
        let Some(least) = count.checked_sub(1).and_then(|last| values.get(last)).copied() else { return Vec::new() };
        kept.retain(|(_, value)| *value >= least);
        kept
    }
}

impl Mark for Drw {
    fn planting(&self) -> Vec<Planting> {
        let law: Arc<dyn LogitsProcessor> = self.law.clone();
        vec![Planting::Law(law)]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Audit]
    }

    /// Every label after every prompt of the audit, by the raw teacher and by the suspect.
    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let Some(answers) = first.first().and_then(Seen::exchanges) else { return Vec::new() };
        let item =
            |answer: &Exchange, token: TokenId| ScoreItem { prompt: answer.query.prompt.clone(), continuation: vec![token] };
        let items: Vec<ScoreItem> =
            answers.iter().flat_map(|answer| self.tokens.iter().map(move |token| item(answer, *token))).collect();
        let own = (self.config.suspect == Choices::Laws).then_some(Whom::Suspect);
        let question = Question::Scores(items);
        std::iter::once(Whom::Teacher).chain(own).map(|whom| FollowUp { whom, question: question.clone() }).collect()
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.judge_under(case, std::slice::from_ref(&self.key))
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        Some(self)
    }
}

impl AnyKey for Drw {
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let shown = self.shown(case, exchanges(KIND, case.suspect, 0)?)?;
        let published = self.published(&shown);
        let places = Places::of(&shown.into_iter().map(|(shown, _)| shown).collect::<Vec<_>>());
        let waves = Waves {
            kind: KIND,
            frequency: self.config.frequency,
            law: &self.cosine,
            share: self.config.marked_share,
            effect_unit: "amplitude of the target's probability along the keyed cosine",
            planted: self.config.epsilon / (1.0 + 2.0 * self.config.epsilon),
            places: &|_| Cow::Borrowed(&places),
            published: &|_| published.clone(),
        };
        waves.judge(case.chance, keys)
    }
}
