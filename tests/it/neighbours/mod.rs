//! One side's misbehaviour is not felt by another: each test attacks a server and has a well-behaved caller beside it
//! (`support::neighbour`). `tests/FAULTS.md` has the figures.

mod answers;
mod baseline;
mod control;
mod http2;
mod json;
mod limits;
mod output;
mod processes;
mod queue;
mod storm;
mod strangers;
mod streams;
