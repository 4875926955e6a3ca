//! `make demo CHECK=1`: the cinema, played without a person.

use std::process::{Command, Stdio};

use crate::support::real_centrifugo::binary;
use crate::support::{BINARY, python, repository};

#[test]
fn no_seat_of_the_cinema_is_sold_twice_while_workers_are_killed_and_replaced() {
    let Some(centrifugo) = binary() else { return };
    let output = Command::new(repository().join("scripts/demo.sh"))
        .env("CAUSEWAY", BINARY)
        .env("CENTRIFUGO", centrifugo)
        .env("PYTHON", python())
        .env("CHECK", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (shown, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{shown}\n{errors}", output.status);
    println!("{shown}");
    for part in [" 0 wrong answers, 0 without an answer\n", "  no seat was sold twice\n"] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
}
