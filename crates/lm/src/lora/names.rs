//! Names of an adapter's tensors.

use crate::checkpoint::PEFT_PREFIX;
use crate::wrapped::unwrapped;

/// Names of a pair's tensors after the prefix.
pub(super) fn of_pair(module: &str, table: bool) -> [String; 2] {
    if table {
        [format!("{module}.lora_embedding_A"), format!("{module}.lora_embedding_B")]
    } else {
        [format!("{module}.lora_A.weight"), format!("{module}.lora_B.weight")]
    }
}

/// What stands before an adapter's own name in names of its tensors, and what stays of it.
const OWN_NAME_AFTER: [(&str, &str); 5] = [
    (".lora_A.", ".lora_A"),
    (".lora_B.", ".lora_B"),
    (".lora_embedding_A.", ".lora_embedding_A"),
    (".lora_embedding_B.", ".lora_embedding_B"),
    (".modules_to_save.", ""),
];

/// The name of an adapter that peft expects in names of tensors of its own models.
const OWN_NAME: &str = "default";

/// A tensor's name without prefixes, wrappers and the adapter's own name, and the part for which peft does not find it, if there is one.
pub(super) fn bare(name: &str) -> (String, Option<String>) {
    let (mut bare, wrapper) = match unwrapped(name) {
        Some((bare, wrapper)) => (bare, Some(wrapper.to_string())),
        None => (name.to_string(), None),
    };
    let mut prefixes = 0;
    while let Some(inner) = bare.strip_prefix(PEFT_PREFIX) {
        bare = inner.to_string();
        prefixes += 1;
    }
    let repeated = (prefixes > 1).then(|| PEFT_PREFIX.repeat(prefixes));
    let mut own_name = None;
    for (marker, kept) in OWN_NAME_AFTER {
        let Some((module, rest)) = bare.split_once(marker) else { continue };
        // `NAME.weight`, or of a table's pair `NAME` alone
        let (name, parameter) = rest.split_once('.').unwrap_or((rest, ""));
        if parameter.contains('.') || parameter.is_empty() != marker.contains("embedding") {
            continue;
        }
        own_name = Some(name.to_string()).filter(|name| name != OWN_NAME);
        let dot = if parameter.is_empty() { "" } else { "." };
        bare = format!("{module}{kept}{dot}{parameter}");
        break;
    }
    (bare, wrapper.or(repeated).or(own_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_stands_around_and_inside_them() {
        let q = "model.layers.0.self_attn.q_proj";
        let cases = [
            (format!("{PEFT_PREFIX}{q}.lora_A.weight"), format!("{q}.lora_A.weight"), None),
            (format!("{q}.lora_B.weight"), format!("{q}.lora_B.weight"), None),
            (format!("{PEFT_PREFIX}{q}.lora_A.default.weight"), format!("{q}.lora_A.weight"), None),
            (format!("{PEFT_PREFIX}{q}.lora_B.mine.weight"), format!("{q}.lora_B.weight"), Some("mine")),
            (format!("_orig_mod.{PEFT_PREFIX}{q}.lora_A.weight"), format!("{q}.lora_A.weight"), Some("_orig_mod")),
            (format!("{PEFT_PREFIX}module.{q}.lora_A.weight"), format!("{q}.lora_A.weight"), Some("module")),
            (
                format!("{PEFT_PREFIX}{PEFT_PREFIX}{q}.lora_A.weight"),
                format!("{q}.lora_A.weight"),
                Some("base_model.model.base_model.model."),
            ),
            (format!("{PEFT_PREFIX}t.lora_embedding_A"), "t.lora_embedding_A".into(), None),
            (format!("{PEFT_PREFIX}t.lora_embedding_B.mine"), "t.lora_embedding_B".into(), Some("mine")),
            (format!("{PEFT_PREFIX}lm_head.modules_to_save.default.weight"), "lm_head.weight".into(), None),
        ];
        for (name, expected, dropped_for) in cases {
            assert_eq!(bare(&name), (expected, dropped_for.map(str::to_string)), "{name}");
        }
    }
}
