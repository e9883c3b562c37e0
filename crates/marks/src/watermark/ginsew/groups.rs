use oracle::{Codec, LogitsProcessor, Row, Stage, Step, TokenId};

use crate::keyed::elementary;
use crate::sinusoid::{Draw, Phases, Place, released};

/// Which group each token belongs to. Special tokens are in none: they keep their probabilities, so that answers end where they would.
pub(super) struct Groups {
    /// By token.
    of: Vec<Option<Group>>,
}

/// One side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Whose probability follows the cosine.
    First,
    /// Whose probability is the rest.
    Second,
}

impl Groups {
    /// The split of the key behind `phases`: each ordinary token is in the first group with probability `fraction`, by itself. The authors shuffle a list of
    /// fixed size; the test holds given the split, whatever it is.
    pub(super) fn of(phases: &Phases, fraction: f64, codec: &dyn Codec) -> Self {
        let group = |token| if phases.uniform(Draw::Group, token) < fraction { Group::First } else { Group::Second };
        let mut of: Vec<Option<Group>> = (0..codec.vocab_size() as TokenId).map(|token| Some(group(token))).collect();
        for special in codec.special_ids().iter().chain(&codec.eos()) {
            if let Some(group) = of.get_mut(*special as usize) {
                *group = None;
            }
        }
        Self { of }
    }

    /// The group of `token`, where it has one.
    pub(super) fn group(&self, token: TokenId) -> Option<Group> {
        self.of.get(token as usize).copied().flatten()
    }

    /// Number of tokens in each.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let count = |group| self.of.iter().filter(|of| **of == Some(group)).count();
        (count(Group::First), count(Group::Second))
    }
}

/// Moves the law of every answer token between the groups, before temperature. A law that has only one of them stays as it is.
pub(super) struct MovedGroups {
    pub(super) name: String,
    pub(super) groups: Groups,
    pub(super) epsilon: f64,
    pub(super) frequency: f64,
    pub(super) place: Place,
    pub(super) phases: Phases,
}

impl LogitsProcessor for MovedGroups {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// The paper moves the law that answers are drawn from.
    fn stage(&self) -> Stage {
        Stage::BeforeTemperature
    }

    fn process(&self, step: &Step<'_>, row: Row<'_>) {
        let Some(token) = self.place.of(&step.query.prompt) else { return };
        let largest = elementary::largest(row.logits);
        let (mut masses, mut block) = ([0.0; 2], [0.0; 64]);
        for (logits, groups) in row.logits.chunks(block.len()).zip(self.groups.of.chunks(block.len())) {
            let powers = &mut block[..logits.len()];
            powers.iter_mut().zip(logits).for_each(|(power, logit)| *power = f64::from(logit - largest));
            elementary::exp(powers);
            for (power, group) in powers.iter().zip(groups) {
                let of = |wanted| if *group == Some(wanted) { *power } else { 0.0 };
                masses[0] += of(Group::First);
                masses[1] += of(Group::Second);
            }
        }
        let all = masses[0] + masses[1];
        if masses.iter().any(|mass| mass.is_nan() || *mass <= 0.0) {
            return;
        }
        let cosine = self.phases.cosine(self.frequency, token);
        let share = released(masses[0] / all, self.epsilon, cosine, 1.0);
        let raised = [share * all / masses[0], (1.0 - share) * all / masses[1]].map(|ratio| libm::log(ratio) as f32);
        for (logit, group) in row.logits.iter_mut().zip(&self.groups.of) {
            *logit += group.map_or(0.0, |group| raised[group as usize]);
        }
    }
}
