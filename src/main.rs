//! Parse, start logging, call.

fn main() {}
