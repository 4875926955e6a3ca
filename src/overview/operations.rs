//! What was done with the page's buttons, and how that went: all who look at the page see it.

use std::collections::VecDeque;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::clock::seconds;

/// The number of operations that are remembered.
const MAX_OPERATIONS: usize = 8;

/// What can be done with a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// Replaces its workers.
    Reset,
    /// Adds one worker.
    Add,
    /// Removes one worker.
    Remove,
}

impl Action {
    /// Its name in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Operation {
    number: u64,
    at: f64,
    action: Action,
    pool: String,
    state: State,
    /// Why it failed.
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Running,
    Done,
    Failed,
}

/// The last operations, oldest first.
#[derive(Debug, Default)]
pub(super) struct Operations {
    last: VecDeque<Operation>,
    count: u64,
}

impl Operations {
    /// Something is being done. Returns its number.
    pub(super) fn begin(&mut self, action: Action, pool: &str) -> u64 {
        self.count += 1;
        if self.last.len() == MAX_OPERATIONS {
            self.last.pop_front();
        }
        self.last.push_back(Operation {
            number: self.count,
            at: seconds(SystemTime::now()),
            action,
            pool: pool.to_owned(),
            state: State::Running,
            error: None,
        });
        self.count
    }

    /// It is done, or has failed.
    pub(super) fn end(&mut self, number: u64, result: Result<(), String>) {
        if let Some(operation) = self.last.iter_mut().find(|operation| operation.number == number) {
            operation.state = if result.is_ok() { State::Done } else { State::Failed };
            operation.error = result.err();
        }
    }

    pub(super) fn list(&self) -> Vec<Operation> {
        self.last.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_operations_are_remembered_with_their_outcome() {
        let mut operations = Operations::default();
        for _ in 0..100 {
            operations.begin(Action::Add, "centrifuge");
        }
        let number = operations.begin(Action::Reset, "centrifuge");
        operations.end(number, Err("no".into()));
        operations.end(1, Ok(()));
        let list = operations.list();
        assert_eq!(list.len(), MAX_OPERATIONS);
        let latest = list.last().unwrap();
        assert_eq!(
            (latest.action, latest.state, latest.error.as_deref()),
            (Action::Reset, State::Failed, Some("no"))
        );
        assert_eq!(list[0].state, State::Running);
    }
}
