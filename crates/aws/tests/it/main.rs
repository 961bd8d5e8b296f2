//! The adapters against an emulator of AWS.

mod emulator;
mod tables;
