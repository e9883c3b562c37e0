//! One registration per mark: a line in a folder's `mod.rs` makes the configuration enum, its schema, the listing, and
//! puts the mark before every test that is written over the registry.

use oracle::ConfigError;

use crate::mark::MarkInfo;

/// What the configuration of every mark can do, whatever its family.
pub trait MarkConfig {
    /// What the mark is.
    fn info(&self) -> MarkInfo;

    /// Refuses values that cannot be; keys are relative to the mark's own table.
    ///
    /// # Errors
    /// A [`ConfigError`] naming key, value and remedy.
    fn validate(&self) -> Result<(), ConfigError>;

    /// A small configuration that works on a toy model.
    fn example() -> Self
    where
        Self: Sized;
}

/// Declares a family's configuration enum over the listed `Variant(Config)` pairs, each `Config` implementing
/// [`MarkConfig`] and the family's builder trait.
macro_rules! registry {
    ($(#[$doc:meta])* $name:ident: $builder:path { $($(#[$variant_doc:meta])* $variant:ident($config:ty),)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant($config),)+
        }

        impl $name {
            fn config(&self) -> &dyn $builder {
                match self {
                    $(Self::$variant(config) => config,)+
                }
            }

            /// Name, as experiment files and records write it.
            pub fn name(&self) -> &'static str {
                self.info().name
            }

            /// What the mark is.
            pub fn info(&self) -> $crate::mark::MarkInfo {
                self.config().info()
            }

            /// Refuses values that cannot be.
            ///
            /// # Errors
            /// A [`ConfigError`](oracle::ConfigError) naming key (from the mark's name downwards), value and remedy.
            pub fn validate(&self) -> Result<(), oracle::ConfigError> {
                self.config().validate().map_err(|error| error.within(self.name()))
            }

            /// One small working configuration of every registered mark.
            #[doc(hidden)]
            pub fn examples() -> Vec<Self> {
                vec![$(Self::$variant(<$config as $crate::registry::MarkConfig>::example()),)+]
            }

            /// Every registered mark of this family.
            pub fn list() -> Vec<$crate::mark::MarkInfo> {
                Self::examples().iter().map(Self::info).collect()
            }
        }
    };
}
