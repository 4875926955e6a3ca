//! YAML, and so JSON, into a tree of [`Node`]s.
//!
//! The parser gives events with their places; this builds the tree, with keys in lower case, dotted keys taken apart, merge keys (`<<`)
//! applied, and aliases copied within a budget, so that a small file cannot become a large tree.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::node::{At, Node, Value};
use super::problems::{Problem, Problems};

/// Nodes that a file may have, including copies by aliases.
const MAX_NODES: usize = 100_000;

/// Nesting of sections.
const MAX_DEPTH: usize = 64;

/// Reads the text of one file. Duplicate keys go to `problems`; invalid YAML is an error, since nothing after it can be read.
pub(super) fn parse(file: &str, text: &str, problems: &Problems) -> Result<Node, Problem> {
    let file: Arc<str> = file.into();
    let mut builder = Builder { file: Arc::clone(&file), anchors: HashMap::new(), nodes: 0, problems };
    let mut events = Parser::new_from_str(text).map(|next| {
        next.map_err(|error| {
            let at = At { file: Arc::clone(&file), line: error.marker().line() };
            Problem::at(&at, None, format!("invalid YAML: {error}"))
        })
    });
    let mut root = None;
    while let Some(next) = events.next() {
        // As in RoadRunner, only the first document counts; the next one need not even be valid.
        if root.is_some() {
            match next {
                Ok((Event::DocumentEnd | Event::StreamEnd, _)) => continue,
                Ok((Event::DocumentStart(..), span)) => second(&builder.at(span), &mut events, problems),
                _ => {}
            }
            break;
        }
        let (event, span) = next?;
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => root = Some(builder.node(event, span, &mut events, 0)?),
        }
    }
    Ok(root.unwrap_or_else(|| Node::empty(At { file, line: 0 })))
}

/// Warns of a second document, at `at`, unless it is empty.
fn second<'a>(
    at: &At,
    events: &mut impl Iterator<Item = Result<(Event<'a>, Span), Problem>>,
    problems: &Problems,
) {
    let is_empty = match events.next() {
        None | Some(Ok((Event::DocumentEnd | Event::StreamEnd, _))) => true,
        // A line of dashes at the end of a file begins an empty document.
        Some(Ok((Event::Scalar(text, ScalarStyle::Plain, ..), _))) => matches!(&*text, "" | "~"),
        _ => false,
    };
    if !is_empty {
        problems.warn(at, None, "has no effect from here on: only the first document of a file is read");
    }
}

struct Builder<'p> {
    file: Arc<str>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problems: &'p Problems,
}

impl Builder<'_> {
    fn at(&self, span: Span) -> At {
        At { file: Arc::clone(&self.file), line: span.start.line() }
    }

    fn node<'a, I>(
        &mut self,
        event: Event<'a>,
        span: Span,
        events: &mut I,
        depth: usize,
    ) -> Result<Node, Problem>
    where
        I: Iterator<Item = Result<(Event<'a>, Span), Problem>>,
    {
        let at = self.at(span);
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(Problem::at(&at, None, "the file is too large or too deeply nested"));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                // `!!str 3` is a text, like one in quotes.
                let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                (scalar(&text, matches!(style, ScalarStyle::Plain) && !is_text), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(events, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(&at, events, depth)?, anchor),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.ok_or_else(|| Problem::at(&at, None, "unknown anchor"))?;
                self.nodes += count(&node);
                return Ok(node);
            }
            _ => return Err(Problem::at(&at, None, "expected a value")),
        };
        let node = Node { value, at };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list<'a, I>(&mut self, events: &mut I, depth: usize) -> Result<Value, Problem>
    where
        I: Iterator<Item = Result<(Event<'a>, Span), Problem>>,
    {
        let mut items = Vec::new();
        while let Some(next) = events.next() {
            match next? {
                (Event::SequenceEnd, _) => break,
                (event, span) => items.push(self.node(event, span, events, depth + 1)?),
            }
        }
        Ok(Value::List(items))
    }

    fn map<'a, I>(&mut self, at: &At, events: &mut I, depth: usize) -> Result<Value, Problem>
    where
        I: Iterator<Item = Result<(Event<'a>, Span), Problem>>,
    {
        let mut node = Node::empty(at.clone());
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        while let Some(next) = events.next() {
            let (event, span) = next?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, events, depth + 1)?;
            let name = key.text().map(str::to_lowercase);
            let name = name.ok_or_else(|| Problem::at(&key.at, None, "expected a word as the key"))?;
            let (event, span) = events.next().unwrap_or(Ok((Event::MappingEnd, span)))?;
            let value = self.node(event, span, events, depth + 1)?;
            if name == "<<" {
                merged.push(value);
                continue;
            }
            if let Some(line) = seen.insert(name.clone(), key.at.line) {
                let text = format!("duplicate key, first used in line {line}");
                self.problems.mistake(&key.at, Some(&name), text);
                continue;
            }
            let value = Node { at: if value.at.line == 0 { key.at } else { value.at }, ..value };
            let is_path = name.split('.').all(|part| !part.is_empty());
            if !is_path || name.starts_with(|first: char| first.is_ascii_digit()) {
                // A summary's quantile, such as 0.5, is not a path, nor is a key such as `.x`.
                node.put(name, value);
            } else {
                node.set(&name, value);
            }
        }
        Ok(merge(node, merged).value)
    }
}

/// Merges the keys of a section over those that it takes from others.
fn merge(node: Node, others: Vec<Node>) -> Node {
    let mut base = Node::empty(node.at.clone());
    for other in others {
        match other.value {
            Value::List(items) => items.into_iter().rev().for_each(|item| base.merge(item)),
            _ => base.merge(other),
        }
    }
    base.merge(node);
    base
}

fn scalar(text: &str, plain: bool) -> Value {
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar { text: text.to_owned(), plain, shown: None }
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| count(node)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Error;
    use super::*;

    fn parse(file: &str, text: &str) -> Result<Node, Error> {
        let problems = Problems::default();
        let node = super::parse(file, text, &problems)?;
        problems.finish(Path::new(file)).map(|_| node)
    }

    #[test]
    fn keys_are_case_insensitive_and_may_be_dotted() {
        let node = parse("f", "Server.Command: x\nserver:\n  USER: y\n").unwrap();
        assert_eq!(node.get("server").unwrap().get("command").unwrap().text(), Some("x"));
        assert_eq!(node.get("server").unwrap().get("user").unwrap().at.line, 3);
    }

    #[test]
    fn a_tagged_number_is_a_text() {
        let node = parse("f", "version: !!str 3\nb: 3\n").unwrap();
        let is_plain = |key| matches!(node.get(key).unwrap().value, Value::Scalar { plain: true, .. });
        assert_eq!(["version", "b"].map(is_plain), [false, true]);
    }

    #[test]
    fn a_duplicate_key_is_an_error_with_both_lines() {
        let error = parse("f.yaml", "a: 1\nb: 2\nA: 3\nB: 4\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "f.yaml:3: a: duplicate key, first used in line 1\nf.yaml:4: b: duplicate key, first used in line 2"
        );
    }

    #[test]
    fn json_is_read_like_yaml() {
        let node =
            parse("f.json", "{\n\t\"a\": {\"b\": [1, \"2\", null, true]},\n \"c\": \"x: y\"\n}").unwrap();
        assert_eq!(node.get("c").unwrap().text(), Some("x: y"));
        assert!(
            matches!(&node.get("a").unwrap().get("b").unwrap().value, Value::List(items) if items.len() == 4)
        );
    }

    #[test]
    fn merge_keys_and_aliases_work() {
        let node = parse("f", "base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\n").unwrap();
        let other = node.get("other").unwrap();
        assert_eq!((other.get("x").unwrap().text(), other.get("y").unwrap().text()), (Some("1"), Some("3")));
    }

    #[test]
    fn a_small_file_cannot_become_a_large_tree() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            let line = format!("a{level}: &a{level} [{before}]\n");
            text.push_str(&line);
        }
        parse("f", &text).unwrap_err();
        parse("f", &"[".repeat(100_000)).unwrap_err();
    }

    #[test]
    fn invalid_yaml_is_an_error_with_its_line() {
        let error = parse(".rr.yaml", "a: 1\nb: [1, 2\nc: }").unwrap_err().to_string();
        assert!(error.starts_with(".rr.yaml:"), "{error}");
    }

    #[test]
    fn any_text_is_a_tree_or_an_error() {
        bolero::check!().with_type::<String>().with_iterations(5_000).for_each(|text| drop(parse("f", text)));
    }
}
