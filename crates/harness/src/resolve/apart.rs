use marks::{Needs, Phase};

use super::Resolved;

/// What is trained once more for teachers that lack one mark each, in one repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrainedAgain {
    /// Trainings from the first planted text on.
    pub texts: u64,
    /// Distillations of laws into the weights.
    pub laws: u64,
    /// Implantings of items.
    pub items: u64,
}

impl Resolved {
    /// What the teachers without one mark add to the marked one and its clean twin: a law that is served costs no training, and where nothing
    /// else of its kind is planted, the model is there already.
    pub fn trained_again(&self) -> TrainedAgain {
        let of = |wanted: fn(&Needs) -> bool| -> Vec<&String> {
            self.world.needs().filter(|(_, needs)| wanted(needs)).map(|(name, _)| name).collect()
        };
        let texts = of(|needs| needs.phase == Phase::Data);
        let laws = of(|needs| needs.distilled_law);
        let items = of(|needs| needs.phase == Phase::Weights && !needs.distilled_law);
        let mut again = TrainedAgain::default();
        for name in &self.marks_apart {
            let others = |all: &[&String]| all.iter().any(|other| *other != name);
            let (text, law, item) = (texts.contains(&name), laws.contains(&name), items.contains(&name));
            again.texts += u64::from(text && others(&texts));
            again.laws += u64::from((text || law) && others(&laws));
            again.items += u64::from((text || law || item) && others(&items));
        }
        again
    }

    /// Teachers that are asked here: marked, clean and independent, and those that lack one mark each; the independent one alone where
    /// answers were given elsewhere.
    pub fn teachers_asked(&self) -> u64 {
        if self.world.transcript.is_some() { 1 } else { 3 + self.marks_apart.len() as u64 }
    }
}
