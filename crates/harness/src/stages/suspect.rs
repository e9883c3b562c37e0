use std::cell::OnceCell;
use std::sync::Arc;

use distill::{Cost, Served};
use marks::Probe;
use oracle::{Exchange, LogitsProcessor, Oracle, ServedLaw, Surface};
use results::Arm;
use serde_json::Value;

use crate::resolve::Run;
use crate::stages::Context;
use crate::stages::context::Trained;

/// A model under suspicion.
pub struct Suspect {
    /// Its place in the grid.
    pub run: Run,
    /// The model.
    pub trained: Trained,
    /// What bends its answers: the watermark on the teacher arm, nothing elsewhere.
    pub processors: Vec<Arc<dyn LogitsProcessor>>,
    /// Names the processors.
    pub bend: Value,
    /// What it cost the thief; `None` for arms that were not distilled.
    pub cost: Option<Cost>,
}

impl Suspect {
    /// The suspect as it answers: everything a log-probability surface shows, bent as it is served, in the teacher's tokens.
    pub fn served(&self, ctx: &Context<'_>) -> Box<dyn Oracle> {
        let surface = Surface::Logits { law: ServedLaw::PostWatermark };
        ctx.asked(self.run.arm, Served::new(self.trained.model.clone(), self.processors.clone(), surface, ctx.rt.clone()))
    }
}

/// A model that suspects are compared with; its answers to each probe are asked once.
pub struct Peer {
    /// Who it is.
    pub arm: Arm,
    /// The model.
    pub trained: Trained,
    answers: Vec<OnceCell<Vec<Exchange>>>,
}

impl Peer {
    /// A peer for `n_probes` probes.
    pub fn new(arm: Arm, trained: &Trained, n_probes: usize) -> Self {
        Self { arm, trained: trained.clone(), answers: (0..n_probes).map(|_| OnceCell::new()).collect() }
    }

    /// Its own answers, unbent, to probe number `index`.
    ///
    /// # Errors
    /// When the model fails or the work is cancelled.
    pub fn answers(&self, ctx: &Context<'_>, index: usize, probe: &dyn Probe) -> anyhow::Result<&[Exchange]> {
        let cell = &self.answers[index];
        if cell.get().is_none() {
            let raw = Served::new(self.trained.model.clone(), Vec::new(), Surface::Text, ctx.rt.clone());
            let _ = cell.set(probe.ask(&*ctx.asked(self.arm, raw))?);
        }
        Ok(cell.get().map(Vec::as_slice).unwrap_or_default())
    }
}
