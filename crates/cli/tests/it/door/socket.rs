//! A client that keeps no rules.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

/// Longer than any time limit of the server under test.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a client does with its connection.
pub(super) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes one by one, with a pause after each, until the server hangs up.
    Drip(Vec<u8>, Duration),
    /// Does nothing for a while.
    Wait(Duration),
    /// Says that nothing more will be sent.
    EndSending,
    /// Reads until this is the number of answers, or the server hangs up.
    ReadAnswers(usize),
    /// Reads until the server hangs up.
    ReadAll,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Everything that was read.
    pub(super) bytes: Vec<u8>,
    /// Whether the server hung up.
    pub(super) ended: bool,
}

impl Seen {
    /// The status of each answer.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let text = String::from_utf8_lossy(&self.bytes);
        text.split("HTTP/1.1 ")
            .skip(1)
            .chain(text.split("HTTP/1.0 ").skip(1))
            .filter_map(|rest| rest.get(..3)?.parse().ok())
            .collect()
    }
}

/// Does all that on one connection, which it drops then.
pub(super) fn act(address: SocketAddr, steps: Vec<Step>) -> Seen {
    let mut seen = Seen::default();
    let Ok(mut stream) = TcpStream::connect(address) else { return seen };
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for step in steps {
        match step {
            // The server may hang up while something is sent; what it answered before that is to be read all the same.
            Step::Send(bytes) => seen.ended |= stream.write_all(&bytes).is_err(),
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).is_err() {
                        break;
                    }
                    thread::sleep(pause);
                }
            }
            Step::Wait(time) => thread::sleep(time),
            Step::EndSending => drop(stream.shutdown(Shutdown::Write)),
            Step::ReadAnswers(number) => read_while(&mut stream, &mut seen, |seen| seen.statuses().len() < number),
            Step::ReadAll => read_while(&mut stream, &mut seen, |_| true),
        }
    }
    seen
}

fn read_while(stream: &mut TcpStream, seen: &mut Seen, goes_on: impl Fn(&Seen) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while goes_on(seen) {
        match stream.read(&mut buffer) {
            Ok(0) => {
                seen.ended = true;
                return;
            }
            Ok(read) => seen.bytes.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Err(_) => {
                seen.ended = true;
                return;
            }
        }
    }
}

/// A whole request and its answer, on a connection of its own.
pub(super) fn ask(address: SocketAddr, request: &str) -> String {
    let seen = act(address, vec![Step::Send(request.as_bytes().to_vec()), Step::ReadAll]);
    String::from_utf8_lossy(&seen.bytes).into_owned()
}

/// Whether the server answers `/health`, as anybody from outside would look.
pub(super) fn is_well(address: SocketAddr, after: &str) -> Result<(), String> {
    let answer = ask(address, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(format!("/health after {after}: {answer:?}")) }
}
