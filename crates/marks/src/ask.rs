//! Putting a mark's questions to models: the only place where marks meet an oracle.

use std::sync::{Arc, Mutex, PoisonError};

use oracle::{Exchange, Law, Oracle, OracleError};

use crate::{Marked, Question, Reduce, Reduced, Seen};

/// A model as it is asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Answers questions.
    pub answers: &'a dyn Oracle,
    /// Scores texts and shows laws. The same model; another law where the answers' law is a point mass under a key, which
    /// says nothing of the model behind it.
    pub laws: &'a dyn Oracle,
    /// The audit's answers, asked at most once.
    pub audit: &'a dyn Fn() -> Result<Arc<Vec<Exchange>>, OracleError>,
    /// Texts that the owner's model wrote as it is served; [`no_texts`] where nobody has any.
    pub marked: &'a dyn Fn(Marked) -> Result<Arc<Vec<Exchange>>, OracleError>,
}

/// For whoever has no texts of the owner's model as it is served.
///
/// # Errors
/// Always.
pub fn no_texts(_wanted: Marked) -> Result<Arc<Vec<Exchange>>, OracleError> {
    Err(OracleError::Model("nobody has texts of the marked teacher here".into()))
}

impl Asked<'_> {
    /// What comes back for `question`.
    ///
    /// # Errors
    /// When the model shows less than it is asked for, or fails.
    pub fn ask(&self, question: &Question) -> Result<Seen, OracleError> {
        Ok(match question {
            Question::Audit => Seen::Exchanges((self.audit)()?),
            Question::Marked(which) => Seen::Exchanges((self.marked)(*which)?),
            Question::Answers(queries) => Seen::Exchanges(Arc::new(self.answers.answer(queries)?)),
            Question::Scores(items) => Seen::Scores(self.laws.score(items)?),
            Question::Laws { given, reduce } => Seen::Laws(reduced(self.laws, given, &**reduce)?),
            Question::Hidden { texts, depth } => {
                let open = self.open("states")?;
                let layer = (depth.clamp(0.0, 1.0) * open.layers() as f64).round() as usize;
                Seen::Matrices(vec![Some(open.hidden(texts, layer)?)])
            }
            Question::Weights(wanted) => {
                let open = self.open("weights")?;
                Seen::Matrices(wanted.iter().map(|&(role, layer)| open.weight(role, layer)).collect())
            }
        })
    }

    /// What comes back for each of `questions`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_all(&self, questions: &[Question]) -> Result<Vec<Seen>, OracleError> {
        questions.iter().map(|question| self.ask(question)).collect()
    }

    fn open(&self, asked: &'static str) -> Result<&dyn oracle::OpenModel, OracleError> {
        let surface = self.laws.surface().name().to_string();
        self.laws.open().ok_or(OracleError::NotShown { surface, asked, instead: "an open model" })
    }
}

/// The laws along `given`, reduced as they stream; equal whatever the order in which they come.
fn reduced(oracle: &dyn Oracle, given: &[Exchange], reduce: &dyn Reduce) -> Result<Vec<Reduced>, OracleError> {
    let blank = |exchange: &Exchange| Mutex::new(vec![Vec::new(); exchange.answer.len()]);
    let places: Vec<Mutex<Vec<Vec<f64>>>> = given.iter().map(blank).collect();
    let sink = |exchange: usize, position: usize, law: Law<'_>| {
        let mut kept = Vec::new();
        reduce.reduce(&given[exchange], position, law, &mut kept);
        places[exchange].lock().unwrap_or_else(PoisonError::into_inner)[position] = kept;
    };
    let all: Vec<&Exchange> = given.iter().collect();
    if reduce.of_shared_tokens() {
        oracle.laws_of_shared_tokens(&all, &sink)?;
    } else {
        oracle.laws(&all, &sink)?;
    }
    Ok(places.into_iter().map(|place| Reduced::new(place.into_inner().unwrap_or_else(PoisonError::into_inner))).collect())
}
