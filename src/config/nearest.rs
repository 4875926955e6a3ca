//! Suggestions for unknown keys.

/// How similar an unknown key and a known one must be for the known one to be suggested.
const SIMILAR: f64 = 0.7;

/// Returns the known key that an unknown one may have been meant to be.
pub(super) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let similar = known.into_iter().map(|other| {
        (strsim::normalized_damerau_levenshtein(key, other).max(strsim::jaro(key, other) - 0.1), other)
    });
    similar.filter(|(score, _)| *score >= SIMILAR).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
}
