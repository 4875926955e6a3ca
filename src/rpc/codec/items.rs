//! The number of values that an argument may have.

/// Values in the argument of most methods, at most: attributes of a log entry, labels, buckets.
pub(in crate::rpc) const MAX_ITEMS: usize = 10_000;

/// What a list or an object counts as, without its items: it takes memory of its own.
const CONTAINER: usize = 4;

/// An argument has more values than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the argument has more than {0} values")]
pub(in crate::rpc) struct TooMany(usize);

/// The number of values that may still follow.
#[derive(Debug)]
pub(in crate::rpc) struct Items {
    most: usize,
    left: usize,
}

impl Items {
    pub(in crate::rpc) fn up_to(most: usize) -> Self {
        Self { most, left: most }
    }

    /// Counts a value, or the name of one.
    pub(super) fn value(&mut self) -> Result<(), TooMany> {
        self.take(1)
    }

    /// Counts a list or an object.
    pub(super) fn container(&mut self) -> Result<(), TooMany> {
        self.take(CONTAINER)
    }

    fn take(&mut self, count: usize) -> Result<(), TooMany> {
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(TooMany(self.most)),
        }
    }

    /// Counts the values of a JSON text without decoding them.
    pub(in crate::rpc) fn count_json(&mut self, text: &[u8]) -> Result<(), TooMany> {
        // No byte counts as more than this.
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
    fn json_is_counted_without_the_contents_of_strings() {
        let count = |text: &str, most: usize| Items::up_to(most).count_json(text.as_bytes());
        assert_eq!(count(r#"["a,b:[{\",]",1]"#, 5), Ok(()));
        assert_eq!(count(r#"{"a":1,"b":[2]}"#, 4 + 1 + 1 + 1 + 4), Ok(()));
        let error = count(r#"{"a":1,"b":[2]}"#, 10).unwrap_err();
        assert_eq!(error.to_string(), "the argument has more than 10 values");
        assert_eq!(count(r#""unended \"#, 1), Ok(()));
    }
}
