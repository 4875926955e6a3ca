//! What happens to whom when a worker misbehaves.
//!
//! Each test says who notices what: the call that met the fault, with which status, and no other. The worker at fault is told what to
//! do by the call (`tests/workers`), so others can call all the time (`Bystanders`). At the end the pool is whole again: as many calls are
//! in hand at once as there are workers, and the server has no more processes and descriptors than before (`Scene`).

mod answers;
mod boots;
mod callers;
mod cgroups;
mod deaths;
mod families;
mod output;
mod protocol;
