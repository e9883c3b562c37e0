//! The hub's file routes, as a client sees them. Only this file touches the network.

use std::io::Read;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body, Proxy};

use super::name::is_commit;
use super::{HubError, HubSettings, ModelName};

/// Redirections followed for one request.
const MAX_REDIRECTS: usize = 10;
/// Longest list of files that is read.
const MAX_LISTING: u64 = 64 << 20;

/// What the server says of a model at a revision.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// What the server says of a file.
#[derive(Debug, Clone)]
pub(super) struct FileMeta {
    /// Name of its content: the SHA-256 of a large file, git's SHA-1 of a small one.
    pub(super) etag: String,
    pub(super) bytes: u64,
}

/// A body that is on its way.
pub(super) struct Stream {
    /// Byte of the file at which it begins.
    pub(super) from: u64,
    pub(super) body: Box<dyn Read>,
}

/// The server, asked about one model.
pub(super) struct Server {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    name: ModelName,
}

/// An answer that is not a redirection to follow, and what was said on the way to it.
struct Answer {
    response: Response<Body>,
    said: HeaderMap,
}

impl Server {
    pub(super) fn new(settings: &HubSettings, name: &ModelName) -> Result<Self, HubError> {
        let proxy = match &settings.proxy {
            Some(url) => Some(Proxy::new(url).map_err(|_| HubError::Settings("the proxy's URL cannot be read".into()))?),
            None => None,
        };
        let patience = Some(settings.patience);
        let agent = Agent::config_builder()
            .user_agent(concat!("birthmark/", env!("CARGO_PKG_VERSION")))
            // a compressed answer would have another length than the file
            .accept_encoding("identity")
            .proxy(proxy)
            .http_status_as_error(false)
            // followed by hand: the first answer says what the last one no longer does, and the token stays at home
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_per_read(patience)
            .timeout_per_write(patience)
            .build()
            .new_agent();
        Ok(Self { agent, endpoint: settings.endpoint.clone(), token: settings.token.clone(), name: name.clone() })
    }

    /// Commit and files of the model.
    pub(super) fn listing(&self) -> Result<Listing, HubError> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let (repository, revision) = (self.name.repository(), escaped(self.name.revision()));
        let url = format!("{}/api/models/{repository}/revision/{revision}", self.endpoint);
        let answer = self.expect(&url, self.send(&url, false, None)?)?;
        let mut text = Vec::new();
        let body = answer.response.into_body().into_reader();
        body.take(MAX_LISTING).read_to_end(&mut text).map_err(|error| self.unreachable(error))?;
        let info: Info = serde_json::from_slice(&text)
            .map_err(|_| HubError::Answer { url: url.clone(), why: "not a list of files".into() })?;
        if !is_commit(&info.sha) {
            return Err(HubError::Answer { url, why: format!("`sha` is \"{}\" and no commit", info.sha.escape_debug()) });
        }
        Ok(Listing { commit: info.sha, files: info.siblings.into_iter().map(|sibling| sibling.rfilename).collect() })
    }

    /// What there is to know of a file before fetching it.
    pub(super) fn meta(&self, commit: &str, file: &str) -> Result<FileMeta, HubError> {
        let url = self.url(commit, file);
        let answer = self.expect(&url, self.send(&url, true, None)?)?;
        let bad = |why: String| HubError::Answer { url: url.clone(), why };
        let header = |name: &str| answer.said.get(name).and_then(|value| value.to_str().ok());
        if let Some(other) = header("x-repo-commit").filter(|other| *other != commit) {
            return Err(bad(format!("asked for commit {commit}, answered for {}", other.escape_debug())));
        }
        // the linked ones are those of the file, the plain ones may be those of a pointer to it
        let etag = header("x-linked-etag").or(header("etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_string();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if etag.is_empty() || etag.len() > 128 || !etag.chars().all(fits) {
            return Err(bad(format!("no usable ETag (\"{}\")", etag.escape_debug())));
        }
        let bytes = header("x-linked-size").or(header("content-length")).and_then(|text| text.parse().ok());
        let Some(bytes) = bytes else { return Err(bad("does not say how long the file is".into())) };
        Ok(FileMeta { etag, bytes })
    }

    /// The content of a file from byte `from` on, or from the beginning where the server cannot do that. `None` when it says
    /// that the file has no such byte.
    pub(super) fn content(&self, commit: &str, file: &str, from: u64) -> Result<Option<Stream>, HubError> {
        let url = self.url(commit, file);
        let answer = self.send(&url, false, Some(from))?;
        if answer.response.status().as_u16() == 416 {
            return Ok(None);
        }
        let Answer { response, .. } = self.expect(&url, answer)?;
        let begins = if response.status().as_u16() == 206 {
            let range = response.headers().get("content-range").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let first = range.trim_start_matches("bytes ").split('-').next().and_then(|first| first.parse().ok());
            if first != Some(from) {
                return Err(HubError::Answer {
                    url,
                    why: format!("asked for bytes from {from} on, got \"{}\"", range.escape_debug()),
                });
            }
            from
        } else {
            0
        };
        Ok(Some(Stream { from: begins, body: Box::new(response.into_body().into_reader()) }))
    }

    fn url(&self, commit: &str, file: &str) -> String {
        format!("{}/{}/resolve/{commit}/{file}", self.endpoint, self.name.repository())
    }

    /// Asks, following redirections. A HEAD stays with the endpoint: what it is sent elsewhere for is only the content.
    fn send(&self, url: &str, head: bool, from: Option<u64>) -> Result<Answer, HubError> {
        let mut url = url.to_string();
        let mut said = HeaderMap::new();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = if head { self.agent.head(&url) } else { self.agent.get(&url) };
            if let Some(token) = self.token.as_ref().filter(|_| self.is_home(&url)) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            if let Some(from) = from.filter(|from| *from > 0) {
                request = request.header("Range", format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| self.unreachable(error))?;
            let next = response.status().is_redirection().then(|| response.headers().get("location")).flatten();
            let next = match next {
                Some(location) => Some(joined(&url, location.to_str().unwrap_or_default())?),
                None => None,
            };
            // what is linked to is said by the first answer, the rest by the last; the length of a redirection is its own
            let is_last = next.as_ref().is_none_or(|next| head && !self.is_home(next));
            for (header, counts) in [
                ("x-repo-commit", true),
                ("x-linked-etag", true),
                ("x-linked-size", true),
                ("etag", is_last),
                ("content-length", next.is_none()),
            ] {
                let value = response.headers().get(header).filter(|_| counts && !said.contains_key(header));
                if let Some(value) = value {
                    said.insert(header, value.clone());
                }
            }
            match next {
                Some(next) if !is_last => url = next,
                _ => return Ok(Answer { response, said }),
            }
        }
        Err(HubError::Answer { url, why: "is redirected without end".into() })
    }

    /// Whether the token may be shown there.
    fn is_home(&self, url: &str) -> bool {
        origin(url).is_some_and(|there| origin(&self.endpoint) == Some(there))
    }

    /// Refuses an answer that is not what was asked for.
    fn expect(&self, url: &str, answer: Answer) -> Result<Answer, HubError> {
        let status = answer.response.status();
        let endpoint = self.endpoint.clone();
        let code = answer.response.headers().get("x-error-code").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match status.as_u16() {
            200 | 206 | 300..=399 => Ok(answer),
            status @ (401 | 403) => Err(HubError::NoAccess { endpoint, name: self.name.clone(), status }),
            404 => {
                let (repository, revision) = (self.name.repository(), self.name.revision());
                let what = match code {
                    "RepoNotFound" => format!("model {repository}"),
                    "RevisionNotFound" => format!("revision {revision} of {repository}"),
                    _ => format!("model {repository} with a revision {revision}"),
                };
                Err(HubError::NotFound { endpoint, what })
            }
            408 | 429 | 500..=599 => Err(HubError::Unreachable { endpoint, why: format!("it answers {status}") }),
            _ => Err(HubError::Answer { url: url.into(), why: format!("it answers {status}") }),
        }
    }

    fn unreachable(&self, error: impl std::fmt::Display) -> HubError {
        let why = error.to_string();
        // the operating system's own words are enough
        let why = why.strip_prefix("io: ").unwrap_or(&why).to_string();
        HubError::Unreachable { endpoint: self.endpoint.clone(), why }
    }
}

/// A revision as one segment of a path; its other characters need no escape.
fn escaped(revision: &str) -> String {
    revision.replace('/', "%2F").replace('+', "%2B")
}

/// Scheme, host and port.
fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?.as_str().to_ascii_lowercase()))
}

/// Where a redirection leads.
fn joined(from: &str, location: &str) -> Result<String, HubError> {
    let bad = |why: &str| HubError::Answer { url: from.into(), why: format!("{why}: \"{}\"", location.escape_debug()) };
    let (scheme, authority) = origin(from).ok_or_else(|| bad("redirected from no URL"))?;
    let next = match location {
        absolute if absolute.starts_with("https://") || absolute.starts_with("http://") => absolute.to_string(),
        path if path.starts_with('/') && !path.starts_with("//") => format!("{scheme}://{authority}{path}"),
        _ => return Err(bad("redirected to a place that cannot be read")),
    };
    if scheme == "https" && !next.starts_with("https://") {
        return Err(bad("redirected to an unprotected place"));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_stay_protected() {
        assert_eq!(joined("https://a.b/c", "/d?e").unwrap(), "https://a.b/d?e");
        assert_eq!(joined("http://a.b:1/c", "https://cdn/x").unwrap(), "https://cdn/x");
        for location in ["http://a.b/c", "//cdn/x", "x", "", "file:///etc/passwd"] {
            assert!(joined("https://a.b/c", location).is_err(), "{location}");
        }
    }

    #[test]
    fn the_token_stays_at_home() {
        let settings = HubSettings { token: Some("t".into()), ..HubSettings::at("https://hub.co/mirror".into(), "cache".into()) };
        let server = Server::new(&settings, &"a/b".parse().unwrap()).unwrap();
        assert!(server.is_home("https://hub.co/mirror/a") && server.is_home("https://HUB.co/api"));
        for away in ["https://hub.co.evil/mirror/a", "http://hub.co/mirror/a", "https://hub.co:444/a", "https://cdn.hub.co/a"] {
            assert!(!server.is_home(away), "{away}");
        }
    }
}
