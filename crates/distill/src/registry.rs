//! The list of losses, attacks and defences alike: one line a variant, which declares its file and makes it a key of experiment files.

/// `Config of Trait { module => Variant, }`: the enum `Config` of all variants, each a struct of the file `module.rs` that implements
/// `Trait`.
macro_rules! registry {
    ($(#[$doc:meta])* $config:ident of $object:ident { $($(#[$variant_doc:meta])* $module:ident => $variant:ident,)* }) => {
        $(mod $module; pub use $module::*;)*

        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum $config {
            $($(#[$variant_doc])* $variant($variant),)*
        }

        impl $config {
            /// What is configured.
            pub fn build(&self) -> Arc<dyn $object> {
                match self {
                    $(Self::$variant(config) => Arc::new(config.clone()),)*
                }
            }

            /// Every registered kind with each of its example parameter sets.
            pub fn examples() -> Vec<Self> {
                let mut all = Vec::new();
                $(all.extend($variant::examples().into_iter().map(Self::$variant));)*
                all
            }
        }
    };
}
