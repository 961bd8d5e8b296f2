//! The adapters against an emulator of AWS.

mod contracts;
mod emulator;
mod tables;
