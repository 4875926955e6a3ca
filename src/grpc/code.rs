//! The names of status codes.

use tonic::Code;

/// The codes in the order of their numbers, named as in gRPC's specification.
pub(crate) const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name that grpc-go prints: `DeadlineExceeded`, and `Canceled` in Go's spelling.
pub(crate) fn go_name(code: Code) -> impl std::fmt::Display {
    struct GoName(Code);
    impl std::fmt::Display for GoName {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self.0 {
                Code::Cancelled => f.write_str("Canceled"),
                code => write!(f, "{code:?}"),
            }
        }
    }
    GoName(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_codes() {
        for (number, name) in (0..).zip(CODES) {
            let camel = format!("{:?}", Code::from_i32(number)).to_uppercase();
            assert_eq!(camel, name.replace('_', ""));
        }
        assert_eq!(go_name(Code::Cancelled).to_string(), "Canceled");
        assert_eq!(go_name(Code::DeadlineExceeded).to_string(), "DeadlineExceeded");
    }
}
