//! Settings, and how they are told apart in words.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// What a suspect was made with, but for its budget, arm and seed: suspects of one setting are the points of one curve.
///
/// Ordered field by field; values of an axis that are numbers come first, by size.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Setting {
    /// Label of the surface; "-" where none.
    pub surface: String,
    /// Name of the loss; "-" where none.
    pub loss: String,
    /// Compute rule; "-" where none.
    pub compute: String,
    /// Label of the defence.
    pub defence: Option<String>,
    /// Label of the attack.
    pub attack: Option<String>,
    /// Value by axis of the grid.
    pub axes: BTreeMap<String, String>,
}

impl Ord for Setting {
    fn cmp(&self, other: &Self) -> Ordering {
        fn head(s: &Setting) -> impl Ord + '_ {
            (&s.surface, &s.loss, &s.compute, &s.defence, &s.attack)
        }
        head(self).cmp(&head(other)).then_with(|| {
            let axes = |s: &Self| s.axes.iter().map(|(axis, value)| (axis.clone(), Value::of(value))).collect::<Vec<_>>();
            axes(self).cmp(&axes(other))
        })
    }
}

impl PartialOrd for Setting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A value of an axis, ordered as people would.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// Bits that are ordered as the numbers are, then the text.
    Number(i64, String),
    Word(String),
}

impl Value {
    fn of(text: &str) -> Self {
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                // the order of `f64::total_cmp`
                let bits = number.to_bits() as i64;
                Self::Number(bits ^ (((bits >> 63) as u64) >> 1) as i64, text.to_string())
            }
            _ => Self::Word(text.to_string()),
        }
    }
}

/// Names for settings that stand side by side: only what tells them apart is named.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    surfaces: bool,
    losses: bool,
    computes: bool,
    defences: bool,
    attacks: bool,
    /// Axes with more than one value, each with its name in labels: as many of the last words of its dotted key as it takes.
    axes: Vec<(String, String)>,
}

impl Names {
    /// For telling `settings` apart.
    pub(crate) fn of(settings: &[Setting]) -> Self {
        // what an axis decides already needs no name of its own
        let differ = |of: &dyn Fn(&Setting) -> (String, Option<String>)| {
            let mut values: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
            for setting in settings {
                let (beside, value) = of(setting);
                values.entry((beside, &setting.axes)).or_default().insert(value);
            }
            values.values().any(|values| values.len() > 1)
        };
        let surfaces: BTreeSet<&str> = settings.iter().map(|s| s.surface.as_str()).collect();
        let all: BTreeSet<&String> = settings.iter().flat_map(|s| s.axes.keys()).collect();
        let varies = |axis: &&String| settings.iter().map(|s| s.axes.get(*axis)).collect::<BTreeSet<_>>().len() > 1;
        let varying: Vec<&str> = all.into_iter().filter(varies).map(String::as_str).collect();
        Self {
            surfaces: surfaces.len() > 1,
            losses: differ(&|s| (s.surface.clone(), Some(s.loss.clone()))),
            computes: differ(&|s| (String::new(), Some(s.compute.clone()))),
            defences: differ(&|s| (String::new(), s.defence.clone())),
            attacks: differ(&|s| (String::new(), s.attack.clone())),
            axes: varying.iter().map(|axis| (axis.to_string(), short(axis, &varying))).collect(),
        }
    }

    /// Whether anything but surface, loss and compute differs.
    pub(crate) fn has_points(&self) -> bool {
        self.defences || self.attacks || !self.axes.is_empty()
    }

    /// Defence, attack and place on the grid: "delta=2, after clean fine-tuning"; the attack only of models that a thief made.
    pub(crate) fn point(&self, setting: &Setting, distilled: bool) -> String {
        let mut parts = Vec::new();
        for (axis, name) in &self.axes {
            parts.extend(setting.axes.get(axis).map(|value| format!("{name}={value}")));
        }
        if self.defences {
            parts.push(setting.defence.as_ref().map_or("no defence".to_string(), |defence| format!("behind {defence}")));
        }
        if self.attacks && distilled {
            parts.push(setting.attack.as_ref().map_or("no attack".to_string(), |attack| format!("after {attack}")));
        }
        parts.join(", ")
    }

    /// The name of a curve of students.
    pub(crate) fn curve(&self, setting: &Setting) -> String {
        let point = self.point(setting, true);
        let mut parts = Vec::new();
        if self.surfaces || point.is_empty() {
            parts.push(setting.surface.clone());
        }
        if self.losses {
            parts.push(setting.loss.clone());
        }
        if self.computes {
            parts.push(setting.compute.clone());
        }
        parts.extend(Some(point).filter(|point| !point.is_empty()));
        parts.join(", ")
    }
}

/// The last words of a dotted key that no other of `all` ends with.
fn short(axis: &str, all: &[&str]) -> String {
    let mut starts: Vec<usize> = axis.match_indices('.').map(|(at, _)| at + 1).collect();
    starts.reverse();
    let ends_with = |other: &str, end: &str| other == end || other.ends_with(&format!(".{end}"));
    let alone = |end: &&str| all.iter().filter(|other| ends_with(other, end)).count() == 1;
    starts.into_iter().map(|start| &axis[start..]).find(alone).unwrap_or(axis).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(surface: &str, axes: &[(&str, &str)]) -> Setting {
        Setting {
            surface: surface.into(),
            loss: "kd".into(),
            compute: "fixed_steps".into(),
            defence: None,
            attack: None,
            axes: axes.iter().map(|(axis, value)| (axis.to_string(), value.to_string())).collect(),
        }
    }

    fn curves(settings: &[Setting]) -> Vec<String> {
        let names = Names::of(settings);
        settings.iter().map(|setting| names.curve(setting)).collect()
    }

    #[test]
    fn without_a_grid_curves_are_named_by_their_surface() {
        let (text, logits) = (setting("text", &[]), setting("logits", &[]));
        assert_eq!(curves(std::slice::from_ref(&text)), ["text"]);
        assert_eq!(curves(&[text.clone(), Setting { loss: "sparse".into(), ..logits.clone() }]), ["text", "logits"]);
        let twice = [text.clone(), Setting { loss: "other".into(), ..text.clone() }, logits.clone()];
        assert_eq!(curves(&twice), ["text, kd", "text, other", "logits, kd"]);
        let computes = [text, Setting { compute: "one_pass".into(), ..logits }];
        assert_eq!(curves(&computes), ["text, fixed_steps", "logits, one_pass"]);
    }

    #[test]
    fn only_axes_with_several_values_are_named_and_shortly() {
        let points = [
            setting("text", &[("marks.wm.kgw.delta", "2"), ("student.layers", "4")]),
            setting("text", &[("marks.wm.kgw.delta", "10"), ("student.layers", "4")]),
        ];
        assert_eq!(curves(&points), ["delta=2", "delta=10"]);
        let alike = [("marks.a.kgw.delta", "2"), ("marks.b.kgw.delta", "1")];
        let points = [setting("text", &alike), setting("text", &[("marks.a.kgw.delta", "3"), ("marks.b.kgw.delta", "3")])];
        assert_eq!(curves(&points)[0], "a.kgw.delta=2, b.kgw.delta=1");
        let points = [setting("text", &[("delta", "1")]), setting("logits", &[("delta", "2")])];
        assert_eq!(curves(&points), ["text, delta=1", "logits, delta=2"]);
    }

    #[test]
    fn attacks_and_defences_are_named_where_no_axis_decides_them() {
        let plain = setting("text", &[]);
        let attacked = Setting { attack: Some("clean fine-tuning".into()), ..plain.clone() };
        let both = Setting { defence: Some("rounding".into()), ..attacked.clone() };
        assert_eq!(curves(&[plain.clone(), attacked.clone()]), ["no attack", "after clean fine-tuning"]);
        assert_eq!(curves(&[plain.clone(), attacked.clone(), both.clone()])[2], "behind rounding, after clean fine-tuning");
        let names = Names::of(&[plain.clone(), attacked.clone()]);
        assert_eq!((names.point(&plain, false).as_str(), names.point(&plain, true).as_str()), ("", "no attack"));
        let on_axis = |s: &Setting, value: &str| Setting { axes: [("thief".into(), value.into())].into(), ..s.clone() };
        assert_eq!(curves(&[on_axis(&plain, "none"), on_axis(&attacked, "tunes")]), ["thief=none", "thief=tunes"]);
    }

    #[test]
    fn numbers_are_ordered_by_size_and_before_words() {
        let mut values = ["10", "b", "9", "1a", "-2", "0.5", "-10", "a", "1e1"];
        values.sort_by_key(|value| Value::of(value));
        assert_eq!(values, ["-10", "-2", "0.5", "9", "10", "1e1", "1a", "a", "b"]);
    }
}
