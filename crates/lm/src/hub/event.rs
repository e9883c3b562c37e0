//! What whoever waits for a model hears.

/// What happens while a model is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubEvent<'a> {
    /// A download begins: of `bytes` bytes in `files` files, `here` bytes have come earlier, among them the configuration and an
    /// index of shards, which say what else is to come.
    Begins {
        /// Files of the model.
        files: usize,
        /// Their length.
        bytes: u64,
        /// How much of it is in the cache.
        here: u64,
    },
    /// So many more bytes came.
    Received(u64),
    /// Something the user should know: a file is fetched again, the server could not be asked.
    Notice(&'a str),
}
