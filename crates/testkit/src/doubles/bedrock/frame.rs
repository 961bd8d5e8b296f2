//! The binary event stream of AWS: frames with a length, headers and two checksums.
//!
//! <https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html> describes it: total length, length of the
//! headers, checksum of both; headers (name, type 7 for text, value); payload; checksum of all before.

/// A frame with an event.
pub(super) fn event(kind: &str, payload: &str) -> Vec<u8> {
    frame(&[(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// A frame with an exception, which is the last.
pub(super) fn exception(kind: &str, payload: &str) -> Vec<u8> {
    frame(&[(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")], payload)
}

fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("a short name"));
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).expect("a short value").to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).expect("a short frame").to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&length(16 + head.len() + payload.len()));
    frame.extend_from_slice(&length(head.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}
