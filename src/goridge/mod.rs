//! goridge
