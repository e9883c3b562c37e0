//! What the environment says about the hub.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lm::hub::HubSettings;

use crate::exit::UsageError;

/// Reads the hub's variables as its Python library does: `HF_HUB_CACHE` or `HUGGINGFACE_HUB_CACHE` (or `hub` in `HF_HOME`, or
/// `~/.cache/huggingface`, or its like below `XDG_CACHE_HOME`), `HF_ENDPOINT`, `HF_TOKEN` or `HUGGING_FACE_HUB_TOKEN` (or the file
/// `HF_TOKEN_PATH`, or `token` in `HF_HOME`), `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`, `HF_HUB_DOWNLOAD_TIMEOUT`; and the proxy of
/// the endpoint. In paths `~`, `$NAME` and `${NAME}` are expanded. An empty variable counts as none.
///
/// # Errors
/// A value that cannot be used, named by its variable.
pub fn settings(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<HubSettings, UsageError> {
    let text = |key: &str| -> Result<Option<String>, UsageError> {
        match variable(key).filter(|value| !value.is_empty()).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.trim().to_string()).filter(|value| !value.is_empty())),
            Some(Err(_)) => Err(UsageError(format!("{key} is not UTF-8 text; set it again"))),
        }
    };
    let user = || variable("HOME").or_else(|| variable("USERPROFILE")).filter(|home| !home.is_empty()).map(PathBuf::from);
    let path = |key: &str| {
        let typed = variable(key).filter(|value| !value.is_empty())?;
        let typed = expanded(typed, variable);
        match (typed.strip_prefix("~"), user()) {
            (Ok(rest), Some(user)) => Some(user.join(rest)),
            _ => Some(typed),
        }
    };
    let cache_home = || path("XDG_CACHE_HOME").or_else(|| Some(user()?.join(".cache")));
    let home = path("HF_HOME").or_else(|| Some(cache_home()?.join("huggingface")));
    let named = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
    let Some(cache) = named.or_else(|| Some(home.as_ref()?.join("hub"))) else {
        return Err(UsageError("no home directory to keep models in; set HF_HOME to a directory".into()));
    };
    let endpoint = text("HF_ENDPOINT")?.unwrap_or_else(|| "https://huggingface.co".into());
    let endpoint = endpoint.trim_end_matches('/').to_string();
    let Some(host) = host_of(&endpoint) else {
        return Err(UsageError(format!("HF_ENDPOINT is \"{endpoint}\"; write a URL such as https://huggingface.co")));
    };
    let token_file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")));
    let token = match text("HF_TOKEN")?.or(text("HUGGING_FACE_HUB_TOKEN")?) {
        Some(token) => Some(token),
        None => token_file
            .filter(|file| file.is_file())
            .and_then(|file| std::fs::read_to_string(file).ok())
            .map(|text| text.trim().to_string()),
    };
    let token = token.filter(|token| !token.is_empty());
    if token.as_ref().is_some_and(|token| !token.chars().all(|c| c.is_ascii_graphic())) {
        return Err(UsageError("HF_TOKEN (or the token file) holds something that is no token; log in again".into()));
    }
    let patience = match text("HF_HUB_DOWNLOAD_TIMEOUT")? {
        None => Duration::from_secs(10),
        Some(typed) => match typed.parse::<u64>() {
            Ok(seconds @ 1..=86_400) => Duration::from_secs(seconds),
            _ => return Err(UsageError(format!("HF_HUB_DOWNLOAD_TIMEOUT is \"{typed}\"; write seconds, for example 10"))),
        },
    };
    // the library asks for the second only where the first is not set at all
    let offline = text("HF_HUB_OFFLINE")?.or(text("TRANSFORMERS_OFFLINE")?);
    let offline = offline.is_some_and(|typed| ["1", "true", "yes", "on"].contains(&&*typed.to_lowercase()));
    let lower_or_upper = |key: &str| Ok::<_, UsageError>(text(&key.to_lowercase())?.or(text(key)?));
    let direct = lower_or_upper("NO_PROXY")?.is_some_and(|list| is_direct(host, &list));
    let own = if endpoint.starts_with("https:") { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let proxy = if direct { None } else { lower_or_upper(own)?.or(lower_or_upper("ALL_PROXY")?) };
    Ok(HubSettings { cache, endpoint, token, offline, proxy, patience })
}

/// A path with `$NAME` and `${NAME}` replaced, as `os.path.expandvars` does: what is not set stays as it is written.
fn expanded(typed: OsString, variable: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    let Some(text) = typed.to_str().filter(|text| text.contains('$')) else { return PathBuf::from(typed) };
    let mut path = OsString::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        path.push(before);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, behind) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some((name, behind)) => (name, behind),
            None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
        };
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => path.push(value),
            None => path.push(&rest[before.len()..rest.len() - behind.len()]),
        }
        rest = behind;
    }
    path.push(rest);
    PathBuf::from(path)
}

/// The host of an `http` or `https` URL, without its port.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split('/').next()?;
    let fits = !authority.contains('@') && rest.chars().all(|c| c.is_ascii_graphic() && !"?#\"".contains(c));
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (fits && !host.is_empty()).then_some(host)
}

/// Whether `NO_PROXY` names the host: itself, a domain it belongs to, or `*`.
fn is_direct(host: &str, list: &str) -> bool {
    let host = host.to_ascii_lowercase();
    list.split(',').map(|entry| entry.trim().trim_start_matches('.').to_ascii_lowercase()).any(|entry| {
        entry == "*" || !entry.is_empty() && host.strip_suffix(&entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<HubSettings, UsageError> {
        settings(&|key| variables.iter().find(|(name, _)| *name == key).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let cases: [(&[(&str, &str)], &str); 15] = [
            (&[("HOME", "/home/a")], "/home/a/.cache/huggingface/hub"),
            (&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")], "/h/hub"),
            (&[("HOME", "/home/a"), ("HF_HOME", "~/models")], "/home/a/models/hub"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "")], "/h/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")], "/new"),
            (&[("HOME", "/home/a"), ("HF_HUB_CACHE", "$HOME/c")], "/home/a/c"),
            (&[("HOME", "/home/a"), ("HF_HOME", "${HOME}/h")], "/home/a/h/hub"),
            (&[("HOME", "/home/a"), ("HF_HOME", "~")], "/home/a/hub"),
            (&[("HF_HOME", "$NOWHERE/h")], "$NOWHERE/h/hub"),
            (&[("HF_HOME", "/a$/${X/h"), ("X", "x")], "/a$/${X/h/hub"),
            (&[("HF_HOME", "/$A$B/$A_/h"), ("A", "1"), ("B", "2")], "/12/$A_/h/hub"),
            (&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "$HOME/x")], "/home/a/x/huggingface/hub"),
        ];
        for (variables, cache) in cases {
            assert_eq!(of(variables).unwrap().cache, Path::new(cache), "{variables:?}");
        }
        assert!(of(&[]).unwrap_err().to_string().contains("set HF_HOME"));
    }

    #[test]
    fn the_token_comes_from_its_variable_or_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().to_str().unwrap();
        let token = |variables: &[(&str, &str)]| of(&[&[("HF_HOME", home)], variables].concat()).unwrap().token;
        assert_eq!(token(&[]), None);
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        std::fs::write(dir.path().join("other"), "hf_other\n").unwrap();
        assert_eq!(token(&[]).unwrap(), "hf_file");
        let other = format!("{home}/other");
        assert_eq!(token(&[("HF_TOKEN_PATH", &other)]).unwrap(), "hf_other");
        assert_eq!(token(&[("HF_TOKEN_PATH", &other), ("HF_TOKEN", " hf_own ")]).unwrap(), "hf_own");
        let error = of(&[("HF_HOME", home), ("HF_TOKEN", "a b")]).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("a b"), "{error}");
    }

    #[test]
    fn endpoint_offline_and_timeout_are_read_or_refused() {
        let with = |key: &str, value: &str| of(&[("HF_HOME", "/h"), (key, value)]);
        assert_eq!(with("X", "").unwrap().endpoint, "https://huggingface.co");
        assert_eq!(with("HF_ENDPOINT", "https://mirror.org/hf/").unwrap().endpoint, "https://mirror.org/hf");
        for bad in ["mirror.org", "ftp://mirror.org", "https://", "https://a b", "https://me:pw@mirror.org"] {
            assert!(with("HF_ENDPOINT", bad).unwrap_err().to_string().contains("HF_ENDPOINT"), "{bad}");
        }
        for (value, offline) in
            [("1", true), ("TRUE", true), ("Yes", true), ("on", true), ("0", false), ("", false), ("no", false)]
        {
            assert_eq!(with("HF_HUB_OFFLINE", value).unwrap().offline, offline, "{value}");
        }
        assert!(with("TRANSFORMERS_OFFLINE", "1").unwrap().offline);
        let both = |hub: &str| of(&[("HF_HOME", "/h"), ("HF_HUB_OFFLINE", hub), ("TRANSFORMERS_OFFLINE", "1")]).unwrap().offline;
        assert!(!both("0") && both("") && both("1"));
        assert_eq!(with("HF_HUB_DOWNLOAD_TIMEOUT", "30").unwrap().patience, Duration::from_secs(30));
        assert!(with("HF_HUB_DOWNLOAD_TIMEOUT", "soon").is_err());
    }

    #[test]
    fn the_proxy_is_that_of_the_endpoint() {
        let proxy = |variables: &[(&str, &str)]| of(&[&[("HF_HOME", "/h")], variables].concat()).unwrap().proxy;
        let both = [("HTTPS_PROXY", "http://s:1"), ("http_proxy", "http://p:2")];
        assert_eq!(proxy(&both).unwrap(), "http://s:1");
        assert_eq!(proxy(&[&both[..], &[("HF_ENDPOINT", "http://h:3")]].concat()).unwrap(), "http://p:2");
        assert_eq!(proxy(&[("all_proxy", "http://a:1")]).unwrap(), "http://a:1");
        for list in ["*", "huggingface.co", "a.b, .huggingface.co", "co"] {
            assert_eq!(proxy(&[both[0], ("NO_PROXY", list)]), None, "{list}");
        }
        assert!(proxy(&[both[0], ("NO_PROXY", "face.co,hub.huggingface.co")]).is_some());
    }
}
