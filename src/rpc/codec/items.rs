//! How many values an argument may have.

/// Values in the argument of most methods: attributes of a log entry, labels, buckets.
pub(in crate::rpc) const MAX_ITEMS: usize = 10_000;

/// What a list or an object counts as beside what is in it: it has memory of its own.
const CONTAINER: usize = 4;

/// How many more values may come.
#[derive(Debug)]
pub(in crate::rpc) struct Items {
    most: usize,
    left: usize,
}

impl Items {
    pub(in crate::rpc) fn up_to(most: usize) -> Self {
        Self { most, left: most }
    }

    /// One more value, or the name of one.
    pub(super) fn value(&mut self) -> Result<(), String> {
        self.take(1)
    }

    /// A list or an object.
    pub(super) fn container(&mut self) -> Result<(), String> {
        self.take(CONTAINER)
    }

    fn take(&mut self, count: usize) -> Result<(), String> {
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(format!("the argument has more than {} values", self.most)),
        }
    }

    /// Counts the values of a JSON text without reading them.
    pub(in crate::rpc) fn count_json(&mut self, text: &[u8]) -> Result<(), String> {
        // No byte stands for more than this.
        if text.len().saturating_mul(CONTAINER) < self.left {
            return Ok(());
        }
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'[' | b'{' => self.container()?,
                b',' | b':' => self.value()?,
                b'"' => {
                    while let Some(byte) = bytes.next() {
                        match byte {
                            b'\\' => drop(bytes.next()),
                            b'"' => break,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_counted_without_what_is_in_strings() {
        let count = |text: &str, most: usize| Items::up_to(most).count_json(text.as_bytes());
        assert_eq!(count(r#"["a,b:[{\",]",1]"#, 5), Ok(()));
        assert_eq!(count(r#"{"a":1,"b":[2]}"#, 4 + 1 + 1 + 1 + 4), Ok(()));
        let error = count(r#"{"a":1,"b":[2]}"#, 10).unwrap_err();
        assert_eq!(error, "the argument has more than 10 values");
        assert_eq!(count(r#""unended \"#, 1), Ok(()));
    }
}
