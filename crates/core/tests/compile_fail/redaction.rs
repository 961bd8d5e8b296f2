use switchboard_core::untrusted::Untrusted;

fn main() {
    let text = Untrusted::new(String::from("words from outside"));
    let _ = text.for_redaction();
}
