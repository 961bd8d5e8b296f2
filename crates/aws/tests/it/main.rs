//! The adapters against an emulator of AWS.

mod audit;
mod bell;
mod contracts;
mod contracts_access;
mod doctor;
mod emulator;
mod infrastructure;
mod faults;
mod store;
mod tables;
