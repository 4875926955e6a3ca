//! Which pool answers a call. Pure: what is known of the call in, the number of a pool out.
//!
//! The matches of `centrifuge.pools` are tried in the order of the file, and the first that fits decides. The type of a call is known from
//! its path. Its message is scanned for the method or channel (`scan`) only if a match that fits otherwise asks for it, and at most once.
//! A call that nothing matches goes to the default pool, and so does one whose message turns out to be broken.

use super::rule::{Match, Verdict};
use super::scan;
use super::types::{Subject, subject};

/// The number of the default pool.
pub(super) const DEFAULT: usize = 0;

/// The matches of all pools but the default one, whose number is 0, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    matches: Box<[Match]>,
}

/// What a match says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The number of the pool.
    pub pool: usize,
    /// Whether it answers the call, or why not.
    pub verdict: Verdict,
}

impl Routes {
    /// Routes by these matches, of the pools 1, 2 and so on.
    pub fn new(matches: impl IntoIterator<Item = Match>) -> Self {
        Self { matches: matches.into_iter().collect() }
    }

    /// Whether every call goes to the default pool, because there is no other.
    #[inline]
    pub(crate) fn are_none(&self) -> bool {
        self.matches.is_empty()
    }

    /// Returns the number of the pool that answers a call of this type, as workers read it, with this message.
    pub fn pool(&self, kind: &str, message: &[u8]) -> usize {
        if self.are_none() {
            return DEFAULT;
        }
        let (subject, field) = subject(kind).unzip();
        let mut scanned = None;
        let text = || *scanned.get_or_insert_with(|| scan::text(message, field?));
        self.steps(kind, subject, text).last().map_or(DEFAULT, |step| match step.verdict {
            Verdict::Fits => step.pool,
            _ => DEFAULT,
        })
    }

    /// Returns what the matches say of a call of this type with this method or channel, up to the one that decides.
    pub fn explain(&self, kind: &str, text: &str) -> Vec<Step> {
        let (subject, _) = subject(kind).unzip();
        self.steps(kind, subject, || Some(text)).collect()
    }

    fn steps<'a>(
        &self,
        kind: &str,
        subject: Option<Subject>,
        mut text: impl FnMut() -> Option<&'a str>,
    ) -> impl Iterator<Item = Step> {
        let mut is_decided = false;
        let all = self.matches.iter().zip(DEFAULT + 1..);
        all.map_while(move |(rule, pool)| {
            if is_decided {
                return None;
            }
            let verdict = rule.verdict(kind, subject, &mut text);
            is_decided = matches!(verdict, Verdict::Fits | Verdict::Broken);
            Some(Step { pool, verdict })
        })
    }
}

#[cfg(test)]
mod tests;
