//! One registration per mark: a line in `lib.rs` declares its file and makes it a key of [`MarkEntry`](crate::MarkEntry), which gives it
//! its schema and its place in the listing, and puts it before every test over the registry.

/// Declares families of marks. `name: Config` means the file `src/FAMILY/name.rs`, which defines `Config`, an implementation of
/// [`MarkConfig`](crate::MarkConfig).
macro_rules! registry {
    ($($(#[$family_doc:meta])* $family:ident { $($(#[$doc:meta])* $name:ident: $config:ident,)+ })+) => {
        $(
            $(#[$family_doc])*
            pub mod $family {
                $($(#[$doc])* pub mod $name;)+
            }
        )+

        /// A mark as an experiment file describes it: exactly one of the registered kinds, and how it stands beside other marks.
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct MarkEntry {
            /// This mark changes the drawn law beside another one that does, and that is meant.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub stack: bool,
            /// Share of the answers that are served with this mark, above 0 and at most 1, chosen by the key from account and prompt; all
            /// where nothing is said.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub mark_rate: Option<f64>,
            /// Whose answers are served without this mark.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub opt_out: Option<$crate::OptOut>,
            $($(
                $(#[$doc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<Box<$family::$name::$config>>,
            )+)+
        }

        impl MarkEntry {
            /// The kinds that are given; a usable entry gives one.
            pub fn given(&self) -> Vec<&dyn $crate::MarkConfig> {
                let mut given: Vec<&dyn $crate::MarkConfig> = Vec::new();
                $($(if let Some(config) = &self.$name { given.push(&**config); })+)+
                given
            }

            /// The same mark with little to plant and as much to measure: what a rehearsal plants.
            #[must_use]
            pub fn small(&self) -> Self {
                Self {
                    stack: self.stack,
                    mark_rate: self.mark_rate,
                    opt_out: self.opt_out.clone(),
                    $($($name: self.$name.as_ref().map(|config| Box::new($crate::MarkConfig::small(&**config))),)+)+
                }
            }

            /// The same mark as far as it decides what is planted: how it is judged is left out.
            #[must_use]
            pub fn planted(&self) -> Self {
                Self {
                    stack: self.stack,
                    mark_rate: self.mark_rate,
                    opt_out: self.opt_out.clone(),
                    $($($name: self.$name.as_ref().map(|config| Box::new($crate::MarkConfig::planted(&**config))),)+)+
                }
            }

            /// Working configurations of every registered mark, small enough for toy models.
            pub fn examples() -> Vec<Self> {
                let mut examples = Vec::new();
                $($(for config in <$family::$name::$config as $crate::MarkConfig>::examples() {
                    examples.push(Self { $name: Some(Box::new(config)), ..Self::default() });
                })+)+
                examples
            }

            /// Configurations that benchmarks time, with a few words for each.
            pub fn timed() -> Vec<(String, Self)> {
                let mut timed = Vec::new();
                $($(for (words, config) in <$family::$name::$config as $crate::MarkConfig>::timed() {
                    timed.push((words, Self { $name: Some(Box::new(config)), ..Self::default() }));
                })+)+
                timed
            }

            /// (mark, key, value as JSON) that validation must refuse when it replaces the key of that mark's first example.
            #[doc(hidden)]
            pub fn refused() -> Vec<(&'static str, &'static str, &'static str)> {
                let mut refused = Vec::new();
                $($(for (key, value) in <$family::$name::$config as $crate::MarkConfig>::refused() {
                    refused.push((stringify!($name), key, value));
                })+)+
                refused
            }

            /// Names of all kinds, in the order of the registry.
            pub const KINDS: &'static [&'static str] = &[$($(stringify!($name),)+)+];
        }
    };
}
