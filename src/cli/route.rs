//! The routes of a configuration, as a table, and which of them a call takes.

use std::fmt::Write as _;

use super::Mistake;
use super::format::one_line;
use crate::compat;
use crate::config::Config;
use crate::pools::{self, Glob, Match, Routes, TYPES, Verdict};
use crate::secrets;

/// The table of routes: the first that matches a call decides.
pub(super) fn table(config: &Config) -> String {
    let mut rows = vec![["route", "pool", "types", "methods", "channels"].map(str::to_owned)];
    for (pool, number) in config.pools.iter().zip(1_usize..) {
        let Match { types, methods, channels } = &pool.routing.matches;
        rows.push([number.to_string(), pool.name(), list(types), list(methods), list(channels)]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    // The first column is that of the names in the lines above.
    let widths = [13, width(1), width(2), width(3), 0];
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join(" ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Which pool answers a call: its type, and its method or channel if there is one.
///
/// # Errors
/// When calls of this type have neither.
pub(super) fn explain(config: &Config, call: &[String]) -> Result<String, Mistake> {
    let kind = pools::normalised(call.first().map_or("", String::as_str));
    let subject = TYPES.iter().find(|(known, _)| *known == kind).and_then(|(_, subject)| *subject);
    let text = call.get(1).map_or("", String::as_str);
    if call.len() > 1 && subject.is_none() {
        return Err(Mistake(format!(
            "--route: calls of the type {} have neither a method nor a channel",
            one_line(&kind)
        )));
    }
    let steps =
        Routes::new(config.pools.iter().map(|pool| pool.routing.matches.clone())).explain(&kind, text);
    let names: Vec<String> = config.pools.iter().map(pools::Config::name).collect();
    let answers = steps
        .last()
        .filter(|step| step.verdict == Verdict::Fits)
        .map_or(compat::PLUGIN, |step| &names[step.pool - 1]);
    let mut out = format!("{} is answered by {answers}\n", one_line(&format!("{kind} {text}")).trim_end());
    for step in &steps {
        let why = why(step.verdict, &config.pools[step.pool - 1].routing.matches);
        let _ = writeln!(out, "  {}: {why}", names[step.pool - 1]);
    }
    if answers == compat::PLUGIN {
        let _ = writeln!(out, "  {answers}: no other pool matches");
    }
    Ok(out)
}

fn why(verdict: Verdict, matches: &Match) -> String {
    let Match { types, methods, channels } = matches;
    match verdict {
        Verdict::Fits => {
            let keys = [("types", types), ("methods", methods), ("channels", channels)];
            let set = keys.into_iter().filter(|(_, globs)| !globs.is_empty());
            let keys: Vec<String> = set.map(|(key, globs)| format!("{key} {}", list(globs))).collect();
            format!("it matches {}", keys.join(" and "))
        }
        Verdict::NoMatch => "it has no match".into(),
        Verdict::OtherType => format!("the type matches none of {}", list(types)),
        Verdict::HasNoMethod => "calls of this type have no method".into(),
        Verdict::HasNoChannel => "calls of this type have no channel".into(),
        Verdict::OtherMethod => format!("the method matches none of {}", list(methods)),
        Verdict::OtherChannel => format!("the channel matches none of {}", list(channels)),
        Verdict::Broken => "the message is broken".into(),
    }
}

fn list(globs: &[Glob]) -> String {
    let globs: Vec<&str> = globs.iter().map(Glob::as_str).collect();
    let text = if globs.is_empty() { "-".into() } else { globs.join(", ") };
    one_line(&secrets::scrub(&text))
}
