use std::sync::Arc;

use oracle::{Exchange, Sampling};

use crate::{FollowUp, Question, Reduce, Whom};

/// How much a place counts, by the law that a model has there: for schemes that mark or judge by the entropy of the law.
///
/// No key enters, so that every test keeps the law of its scores under a random key.
pub struct PlaceWeights {
    /// The model.
    pub whom: Whom,
    /// Keeps one number of each law, at least 0: the weight of its place. A place of weight 0 is not scored, and so is one whose law is
    /// missing.
    pub reduce: Arc<dyn Reduce>,
}

impl PlaceWeights {
    /// The question for the weights along `answers`. Laws are asked at temperature 1 and untruncated, as a processor of raw logits sees
    /// them.
    pub(super) fn question(&self, answers: &[Exchange]) -> FollowUp {
        let plain = |answer: &Exchange| {
            let mut given = answer.clone();
            given.query.sampling = Sampling::PLAIN;
            given
        };
        let given = Arc::new(answers.iter().map(plain).collect());
        FollowUp { whom: self.whom.clone(), question: Question::Laws { given, reduce: self.reduce.clone() } }
    }
}
