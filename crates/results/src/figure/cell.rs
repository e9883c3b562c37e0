use super::chart::Chart;
use super::series::{Panel, WorthPanel};

/// What one panel shows.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'a> {
    Evidence(&'a Panel),
    Effect(&'a Panel),
    Worth(&'a WorthPanel),
}

impl<'a> Cell<'a> {
    pub(crate) fn chart(self) -> &'a Chart {
        match self {
            Self::Evidence(panel) => &panel.evidence,
            Self::Effect(panel) => &panel.effect,
            Self::Worth(worth) => &worth.chart,
        }
    }

    pub(crate) fn title(self) -> &'a str {
        match self {
            Self::Evidence(panel) | Self::Effect(panel) => &panel.mark,
            Self::Worth(worth) => &worth.name,
        }
    }

    /// Beside the title, where it fits.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::Evidence(panel) | Self::Effect(panel) if panel.positive_controls => "not planted: its controls are positive",
            Self::Evidence(panel) if panel.primary => "primary: tested first",
            Self::Worth(worth) if worth.less_is_better && worth.chart.base.is_some() => "above the base: no theft",
            _ => "",
        }
    }
}
