//! Where models are looked for and fetched from.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where models are looked for and fetched from.
#[derive(Clone)]
pub struct HubSettings {
    /// The cache directory (`HF_HUB_CACHE`).
    pub cache: PathBuf,
    /// URL of the hub without a slash at its end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Who asks (`HF_TOKEN`); sent to the endpoint only and never shown.
    pub token: Option<String>,
    /// Look in the cache only (`HF_HUB_OFFLINE`).
    pub offline: bool,
    /// URL of the proxy through which the endpoint is reached.
    pub proxy: Option<String>,
    /// Longest silence of the server before a connection counts as broken.
    pub patience: Duration,
}

impl HubSettings {
    /// Nobody in particular asking `endpoint` directly, with a patience of ten seconds.
    pub fn at(endpoint: String, cache: PathBuf) -> Self {
        Self { cache, endpoint, token: None, offline: false, proxy: None, patience: Duration::from_secs(10) }
    }
}

impl fmt::Debug for HubSettings {
    /// Leaves out the token and the proxy, whose URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("offline", &self.offline)
            .field("proxy", &self.proxy.as_ref().map(|_| "set"))
            .field("patience", &self.patience)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut settings = HubSettings::at("https://hub".into(), "cache".into());
        (settings.token, settings.proxy) = (Some("hf_secret".into()), Some("http://me:word@proxy".into()));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hf_secret") && !shown.contains("word") && shown.contains("https://hub"), "{shown}");
    }
}
