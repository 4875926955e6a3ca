//! Tokens that are recognised wherever they are.

/// What replaces a secret.
pub(crate) const HIDDEN: &str = "***";

/// Tokens with a known form: JWTs, and those of some public services.
pub(super) fn is_token(word: &str) -> bool {
    const PREFIXES: [&str; 23] = [
        "ghp_",
        "gho_",
        "ghs_",
        "ghu_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xoxa-",
        "xoxb-",
        "xoxp-",
        "xapp-",
        "sk-",
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "rk_test_",
        "whsec_",
        "npm_",
        "pypi-",
        "hf_",
        "AKIA",
        "ASIA",
        "AIza",
    ];
    let is_jwt = word.starts_with("eyJ") && word.matches('.').count() >= 2;
    is_jwt || PREFIXES.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len() + 8)
}
