//! The pools that a command is about: the named ones, or all.

use anyhow::bail;
use serde_json::{Value, json};

use super::reach::Server;

/// The pools to go through, and named ones that do not exist.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plugins {
    pub(super) known: Vec<String>,
    pub(super) unknown: Vec<String>,
    all: Vec<String>,
}

impl Plugins {
    /// Calls `list`, such as `informer.List`, for the server's pools.
    ///
    /// # Errors
    /// When the call fails.
    pub(super) async fn find(server: &mut Server, list: &str, named: &[String]) -> anyhow::Result<Self> {
        let list = server.call(list, &json!(true)).await?;
        let all = list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        Ok(Self::choose(all.collect(), named))
    }

    fn choose(all: Vec<String>, named: &[String]) -> Self {
        if named.is_empty() {
            return Self { known: all.clone(), unknown: Vec::new(), all };
        }
        let mut named = named.to_vec();
        let mut seen = Vec::new();
        named.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        let (known, unknown) = named.into_iter().partition(|name| all.contains(name));
        Self { known, unknown, all }
    }

    /// Fails if a pool was named that does not exist.
    ///
    /// # Errors
    /// One line that names the unknown pools and the known ones.
    pub(super) fn all_known(&self) -> anyhow::Result<()> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        let known = if self.all.is_empty() { "none".into() } else { self.all.join(", ") };
        bail!("no pool {}; known pools: {known}", self.unknown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(all: &[&str], named: &[&str]) -> Plugins {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Plugins::choose(owned(all), &owned(named))
    }

    #[test]
    fn all_pools_unless_named_each_once_and_unknown_ones_are_an_error() {
        assert_eq!(choose(&["centrifuge", "http"], &[]).known, ["centrifuge", "http"]);
        let some = choose(&["centrifuge", "http"], &["http", "nope", "http"]);
        assert_eq!(some.known, ["http"]);
        let error = some.all_known().unwrap_err().to_string();
        assert_eq!(error, "no pool nope; known pools: centrifuge, http");
        choose(&["http"], &[]).all_known().unwrap();
    }
}
