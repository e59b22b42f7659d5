//! Nothing: the tests of this crate read the snapshots of `export` with the types of the engines.
