//! The adapters against an emulator of AWS.

mod contracts;
mod emulator;
mod faults;
mod store;
mod tables;
