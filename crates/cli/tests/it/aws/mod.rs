//! The stack as it is deployed, in an emulator of AWS that runs the functions, and the single binary with parts of it on AWS.

mod archive;
mod deployed;
mod mixed;
mod schedule;
mod stack;
mod throttled;
mod throttling;
