//! Names of tensors as wrapped modules write them.

/// Names that wrappers of a module put before those of its parts: `torch.compile`, data parallelism, sharding, recomputation.
const WRAPPERS: [&str; 5] = ["_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];

/// `name` without what wrappers put into it, and the first of that; `None` where there is nothing of the kind.
pub(crate) fn unwrapped(name: &str) -> Option<(String, &'static str)> {
    let wrapper = |part: &str| WRAPPERS.into_iter().find(|wrapper| *wrapper == part);
    let found = name.split('.').find_map(wrapper)?;
    let parts: Vec<&str> = name.split('.').filter(|part| wrapper(part).is_none()).collect();
    Some((parts.join("."), found))
}

/// Some names for a message: the first three, and that there are more.
pub(crate) fn some_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    format!("{}{}", shown.join(", "), if names.len() > 3 { ", ..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_are_taken_out_wherever_they_stand() {
        let cases = [
            ("_orig_mod.model.norm.weight", "model.norm.weight", "_orig_mod"),
            ("module.module.lm_head.weight", "lm_head.weight", "module"),
            (
                "model.layers.0._checkpoint_wrapped_module.mlp.up_proj.weight",
                "model.layers.0.mlp.up_proj.weight",
                "_checkpoint_wrapped_module",
            ),
            ("module._orig_mod.model.norm.weight", "model.norm.weight", "module"),
        ];
        for (name, bare, wrapper) in cases {
            assert_eq!(unwrapped(name), Some((bare.to_string(), wrapper)));
        }
        assert_eq!(unwrapped("model.submodule.module_list.weight"), None);
        assert_eq!(some_of(["a", "b"]), "`a`, `b`");
        assert_eq!(some_of(["a", "b", "c", "d"]), "`a`, `b`, `c`, ...");
    }
}
