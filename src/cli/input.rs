//! JSON arguments.

use std::io::Read as _;

use serde_json::Value;

use super::Mistake;

/// Reads an argument that is JSON, or `-` for JSON from standard input.
///
/// # Errors
/// A [`Mistake`] that says where the text stops being JSON.
pub(super) fn json(name: &str, text: &str) -> anyhow::Result<Value> {
    if text != "-" {
        return parse(name, text).map_err(Into::into);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    parse("standard input", &text).map_err(Into::into)
}

fn parse(name: &str, text: &str) -> Result<Value, Mistake> {
    serde_json::from_str(text).map_err(|error| {
        // A shell removes the quotes that a JSON string needs.
        let is_word = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_.:/".contains(c));
        let hint = if is_word {
            format!("; a JSON string needs its own quotes: '\"{text}\"'")
        } else {
            String::new()
        };
        Mistake(format!("{name} is not JSON: {error}{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_without_its_quotes_gets_a_hint() {
        assert_eq!(parse("the argument", "{\"a\":1}").unwrap(), serde_json::json!({"a": 1}));
        let hint = parse("the argument", "centrifuge").unwrap_err().to_string();
        assert!(hint.ends_with("a JSON string needs its own quotes: '\"centrifuge\"'"), "{hint}");
        let other = parse("the argument", "{").unwrap_err().to_string();
        assert!(other.starts_with("the argument is not JSON: EOF") && !other.contains("quotes"), "{other}");
    }
}
