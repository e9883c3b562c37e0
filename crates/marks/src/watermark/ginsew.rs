//! GINSEW: a cosine in the probability of a group of tokens. Zhao, Wang and Li, *Protecting Language Generation Models via Invisible
//! Watermarking*, ICML 2023 (arXiv 2302.03162). Methods a8.
//!
//! The vocabulary is split in two groups. A token of the prompt has a keyed number x, and while the whole answer is made the probability of
//! the first group becomes (Q + epsilon (1 + cos f x)) / (1 + 2 epsilon), that of the second the rest; within each group tokens keep their
//! ratios. Answers are drawn from this law and laws are shown of it, so a student can learn it from either.
//!
//! The authors look for it in a periodogram of the suspect's group probability. They never released that detector: the one here follows the
//! paper, and stands beside ours in the metrics. Ours is the keyed correlation that DRW is tested with, exact under a random key: given the
//! split, the x of distinct tokens are independent and uniform.

use std::borrow::Cow;
use std::sync::Arc;

use oracle::{Codec, ConfigError, LogitsProcessor, TokenId};
use serde::{Deserialize, Serialize};

use crate::case::exchanges;
use crate::keyed::{Candidates, Choices, Dedup, Rules};
use crate::sinusoid::{CosineLaw, Phases, Place, Places, Shown, Waves, check_wave};
use crate::{
    AnyKey, Bed, Case, Claim, Decoys, Family, Finding, FollowUp, Key, Mark, MarkConfig, MarkError, MarkInfo, Needs, Owner, Phase,
    Planting, Question, Reduced, Seen, Whom, identity,
};

mod groups;
mod said;
#[cfg(test)]
mod tests;

use groups::{Groups, MovedGroups};
use said::Said;

const KIND: &str = "ginsew";

/// Parameters of the watermark of token groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GinsewConfig {
    /// Share of the ordinary tokens in the first group, strictly between 0 and 1. The authors use 0.5.
    pub fraction: f64,
    /// How far the group's probability is moved: the amplitude is epsilon / (1 + 2 epsilon). The authors use 0.2. A temperature other than
    /// 1 changes it, since the law is moved before temperature.
    pub epsilon: f64,
    /// f, radians per unit of x. The authors use 16.
    pub frequency: f64,
    /// Which token of the prompt has the number x, from 1; the beginning-of-text token is not counted. The authors use 6. Answers to shorter
    /// prompts are not marked.
    pub position: usize,
    /// What is taken of the suspect: its own laws along its answers (`laws`), or the tokens of its answers (`answers`), which text is enough
    /// for.
    #[serde(default = "Choices::laws", skip_serializing_if = "Choices::is_laws")]
    pub suspect: Choices,
}

impl MarkConfig for GinsewConfig {
    fn info(&self) -> MarkInfo {
        MarkInfo {
            name: KIND,
            family: Family::Watermark,
            needs: self.suspect.access(),
            claim: Claim::Distillation,
            planted: true,
            compares: false,
            key_label: "watermark ginsew",
            source: "Zhao et al., Protecting Language Generation Models via Invisible Watermarking, ICML 2023, arXiv 2302.03162",
            summary: "a token group's probability follows a cosine of a keyed number of one token of the prompt",
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(self.fraction > 0.0 && self.fraction < 1.0) {
            return Err(ConfigError::new("fraction", self.fraction, "use a share strictly between 0 and 1, for example 0.5"));
        }
        check_wave(self.epsilon, self.frequency)?;
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
        let codec: &dyn Codec = &**owner.codec;
        let groups = Groups::of(&Phases::of(owner.key, KIND), self.fraction, codec);
        let (first, second) = groups.sizes();
        if first == 0 || second == 0 {
            let what = format!("{}, which leaves {first} and {second} ordinary tokens in the groups", self.fraction);
            return Err(
                ConfigError::new("fraction", what, "use a share that leaves tokens on both sides, for example 0.5").into()
            );
        }
        let place = Place { bos: codec.bos(), position: self.position };
        let law = Arc::new(MovedGroups {
            // how it is judged changes nothing that is served
            name: identity(&self.planted(), owner.key),
            groups,
            epsilon: self.epsilon,
            frequency: self.frequency,
            place,
            phases: Phases::of(owner.key, KIND),
        });
        Ok(Arc::new(Ginsew {
            config: self.clone(),
            rules: Rules::new(0, Dedup::Pairs, codec),
            place,
            codec: owner.codec.clone(),
            law,
            cosine: CosineLaw::new(self.frequency),
            key: owner.key.clone(),
        }))
    }

    fn examples() -> Vec<Self> {
        let example = Self { fraction: 0.5, epsilon: 0.2, frequency: 16.0, position: 6, suspect: Choices::Laws };
        vec![example.clone(), Self { fraction: 0.3, position: 2, suspect: Choices::Answers, ..example }]
    }

    fn refused() -> Vec<(&'static str, &'static str)> {
        vec![
            ("fraction", "0.0"),
            ("fraction", "1.0"),
            ("epsilon", "0.0"),
            ("epsilon", "-0.2"),
            ("frequency", "0.5"),
            ("frequency", "251.0"),
            ("position", "0"),
        ]
    }

    fn small(&self) -> Self {
        self.clone()
    }

    fn planted(&self) -> Self {
        Self { suspect: Choices::Laws, ..self.clone() }
    }

    /// Prompts enough for many distinct tokens, and laws that are kept whole.
    fn bed(&self) -> Bed {
        Bed { vocab: 256, prompts: 240, max_new_tokens: 8, ..Bed::default() }
    }
}

struct Ginsew {
    config: GinsewConfig,
    /// Which places of an answer are looked at: all before its end.
    rules: Rules,
    place: Place,
    codec: Arc<dyn Codec>,
    law: Arc<MovedGroups>,
    cosine: CosineLaw,
    key: Key,
}

impl Ginsew {
    /// The laws of number `at` of `seen`, one for each of `answers`.
    fn laws<'a>(&self, seen: &'a [Seen], at: usize, answers: usize) -> Result<&'a [Reduced], MarkError> {
        let laws = seen.get(at).and_then(Seen::laws).filter(|laws| laws.len() == answers);
        laws.ok_or_else(|| MarkError::unmeasurable(KIND, "laws along the answers are missing"))
    }
}

impl Mark for Ginsew {
    fn planting(&self) -> Vec<Planting> {
        let law: Arc<dyn LogitsProcessor> = self.law.clone();
        vec![Planting::Law(law)]
    }

    fn questions(&self, _stream: u64) -> Vec<Question> {
        vec![Question::Audit]
    }

    /// The raw teacher's laws along the suspect's answers, and the suspect's own where they are looked at.
    fn follow_up(&self, first: &[Seen]) -> Vec<FollowUp> {
        let Some(Seen::Exchanges(answers)) = first.first() else { return Vec::new() };
        let question = Question::Laws { given: answers.clone(), reduce: Arc::new(Candidates::new(&self.rules)) };
        let own = (self.config.suspect == Choices::Laws).then_some(Whom::Suspect);
        std::iter::once(Whom::Teacher).chain(own).map(|whom| FollowUp { whom, question: question.clone() }).collect()
    }

    fn judge(&self, case: &Case<'_>) -> Result<Vec<Finding>, MarkError> {
        self.judge_under(case, std::slice::from_ref(&self.key))
    }

    fn any_key(&self) -> Option<&dyn AnyKey> {
        Some(self)
    }
}

impl AnyKey for Ginsew {
    fn judge_under(&self, case: &Case<'_>, keys: &[Key]) -> Result<Vec<Finding>, MarkError> {
        let answers = exchanges(KIND, case.suspect, 0)?;
        let teacher = self.laws(case.second, 0, answers.len())?;
        let own = match self.config.suspect {
            Choices::Laws => Some(self.laws(case.second, 1, answers.len())?),
            Choices::Answers => None,
        };
        let mut said: Vec<(TokenId, Said)> = Vec::new();
        for (at, answer) in answers.iter().enumerate() {
            if let Some(token) = self.place.of(&answer.query.prompt) {
                said.extend(Said::of(answer, &self.rules, &teacher[at], own.map(|own| &own[at])).map(|said| (token, said)));
            }
        }
        if !answers.is_empty() && answers.iter().all(|answer| self.place.of(&answer.query.prompt).is_none()) {
            let reason = format!(
                "no audit prompt has {} tokens, and token {0} has the phase; raise `audit.prompt_tokens`",
                self.config.position
            );
            return Err(MarkError::unmeasurable(KIND, reason));
        }
        let groups = |key: &Key| Groups::of(&Phases::of(key, KIND), self.config.fraction, &*self.codec);
        let shown = |key: &Key| -> Vec<Shown> {
            let groups = groups(key);
            let one = |(token, said): &(TokenId, Said)| {
                let [value, expected] = said.shares(&groups);
                Shown { token: *token, value, expected, size: said.places() }
            };
            said.iter().map(one).collect()
        };
        let waves = Waves {
            kind: KIND,
            frequency: self.config.frequency,
            law: &self.cosine,
            share: 1.0,
            effect_unit: "amplitude of the token group's probability along the keyed cosine",
            planted: self.config.epsilon / (1.0 + 2.0 * self.config.epsilon),
            places: &|key| Cow::Owned(Places::of(&shown(key))),
            published: &|key| shown(key).into_iter().map(|shown| (shown.token, shown.value)).collect(),
        };
        waves.judge(case.chance, keys)
    }
}
