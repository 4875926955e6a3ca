//! What a message looks like: the form of the generated tables.

/// A type of message.
#[derive(Debug)]
pub(crate) struct Message {
    /// The name in the `.proto` file.
    pub(super) name: &'static str,
    /// Those of the `.proto` file in its order, which is that of Centrifugo's JSON; then those that exist in JSON only.
    pub(super) fields: &'static [Field],
}

/// How many fields a message has, at most.
pub(super) const MAX_FIELDS: usize = 16;

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    /// Less than 32.
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) label: Label,
}

/// How often a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// Once; left out if it is empty, zero or false.
    Optional,
    /// Once; shown even if it is empty.
    Always,
    /// A list.
    Repeated,
    /// An object whose values are the field's kind.
    Map,
}

/// The type of a field's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Bool,
    Int64,
    Uint32,
    Uint64,
    String,
    /// `bytes` with JSON in them.
    Json(Base64),
    /// In JSON only: base64 of the `bytes` field with the same number.
    Base64,
    Message(&'static Message),
}

/// The field for `bytes` that are no JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base64 {
    pub(super) name: &'static str,
    /// Whether it is a field of the message, rather than one that exists in JSON only.
    pub(super) is_field: bool,
}

/// The messages of one type of call.
#[derive(Debug)]
pub(crate) struct Event {
    /// The type, as workers read it.
    pub(super) kind: &'static str,
    /// What a worker gets.
    pub(crate) request: &'static Message,
    /// What it answers.
    pub(crate) answer: &'static Message,
    /// What it sends in a stream.
    pub(crate) part: Option<&'static Message>,
}

impl Message {
    pub(super) fn numbered(&self, number: u32) -> Option<usize> {
        self.fields.iter().position(|field| field.number == number)
    }

    /// The field of this name, in any case if none has it exactly.
    pub(super) fn named(&self, name: &str) -> Option<&'static Field> {
        let exact = self.fields.iter().find(|field| field.name == name);
        exact.or_else(|| self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)))
    }
}
