//! A queue in which callers take turns.
//!
//! ```text
//!  ring ──▶ A ──▶ B ──▶ C     callers with entries; the front one is served next, and goes to the back after its turn if it has more
//!           │     │     │
//!           1     4     5     the entries of each: first come, first served
//!           2
//!           3
//! ```
//!
//! Joining, leaving and serving take constant time, and allocate nothing while the slabs are large enough.

use std::collections::HashMap;

use slab::Slab;

use super::caller::Caller;

/// Entries of all callers.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    /// How many entries of one caller are served in its turn.
    turn: usize,
    entries: Slab<Node<Entry<T>>>,
    lines: Slab<Node<Line>>,
    line_of: HashMap<Caller, usize>,
    ring: List,
}

/// Where an entry is kept until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(usize);

#[derive(Debug)]
struct Entry<T> {
    /// The line that it waits in; none once it was served.
    line: Option<usize>,
    value: T,
}

/// The waiting entries of one caller, at least one.
#[derive(Debug)]
struct Line {
    caller: Caller,
    /// How many were served in this turn.
    served: usize,
    entries: List,
}

/// Both ends of a list whose nodes are in a slab.
#[derive(Debug, Clone, Copy, Default)]
struct List {
    front: Option<usize>,
    back: Option<usize>,
}

#[derive(Debug)]
struct Node<T> {
    before: Option<usize>,
    after: Option<usize>,
    item: T,
}

impl<T> FairQueue<T> {
    /// A queue in which `turn` entries of one caller are served before those of the next one.
    pub(super) fn new(turn: usize) -> Self {
        Self {
            turn,
            entries: Slab::new(),
            lines: Slab::new(),
            line_of: HashMap::new(),
            ring: List::default(),
        }
    }

    /// Adds an entry behind the others of its caller. It is kept, served or not, until it is removed.
    pub(super) fn join(&mut self, caller: Caller, value: T) -> Key {
        let line = *self.line_of.entry(caller).or_insert_with(|| {
            let line = self.lines.insert(Node::new(Line { caller, served: 0, entries: List::default() }));
            self.ring.push_back(&mut self.lines, line);
            line
        });
        let key = self.entries.insert(Node::new(Entry { line: Some(line), value }));
        self.lines[line].item.entries.push_back(&mut self.entries, key);
        Key(key)
    }

    /// Takes the next entry out of its line and returns its value, which stays in its place.
    pub(super) fn serve_next(&mut self) -> Option<&mut T> {
        let line = self.ring.front?;
        let key = self.lines[line].item.entries.front?;
        let served = &mut self.lines[line].item.served;
        *served += 1;
        if *served == self.turn {
            *served = 0;
            self.ring.unlink(&mut self.lines, line);
            self.ring.push_back(&mut self.lines, line);
        }
        self.leave(line, key);
        self.get_mut(Key(key))
    }

    /// Returns an entry that was not removed yet.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(key.0).map(|node| &mut node.item.value)
    }

    /// Removes an entry, from its line too if it still waits there.
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        if let Some(line) = self.entries.get(key.0)?.item.line {
            self.leave(line, key.0);
        }
        Some(self.entries.remove(key.0).item.value)
    }

    /// Whether no entry waits to be served.
    pub(super) fn is_empty(&self) -> bool {
        self.ring.front.is_none()
    }

    /// How many entries are kept, and how many callers have one that waits.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.entries.len(), self.lines.len())
    }

    /// Takes an entry out of its line, and the line out of the ring if it was the last one.
    fn leave(&mut self, line: usize, key: usize) {
        self.entries[key].item.line = None;
        let Line { caller, entries, .. } = &mut self.lines[line].item;
        entries.unlink(&mut self.entries, key);
        if entries.front.is_none() {
            self.line_of.remove(caller);
            self.ring.unlink(&mut self.lines, line);
            self.lines.remove(line);
        }
    }
}

impl List {
    fn push_back<T>(&mut self, nodes: &mut Slab<Node<T>>, key: usize) {
        nodes[key].before = self.back;
        match self.back.replace(key) {
            Some(last) => nodes[last].after = Some(key),
            None => self.front = Some(key),
        }
    }

    fn unlink<T>(&mut self, nodes: &mut Slab<Node<T>>, key: usize) {
        let node = &mut nodes[key];
        let (before, after) = (node.before.take(), node.after.take());
        match before {
            Some(before) => nodes[before].after = after,
            None => self.front = after,
        }
        match after {
            Some(after) => nodes[after].before = before,
            None => self.back = before,
        }
    }
}

impl<T> Node<T> {
    fn new(item: T) -> Self {
        Self { before: None, after: None, item }
    }
}
