//! Chores of the repository: `cargo xtask COMMAND`.
fn main() {}
