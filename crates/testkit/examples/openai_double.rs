//! The double of OpenAI's API as a process of its own, for clients in other languages. Its first line says where it listens.
//! Each line that it then reads is a reply in JSON (`doubles::openai::Reply`), which it answers with `ok`; it ends with its input.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a tool for tests talks by its output")]

use std::io::{BufRead as _, Write as _, stdin, stdout};

use switchboard_testkit::doubles::OpenAiDouble;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let double = OpenAiDouble::start().await;
    if let Some(key) = std::env::args().nth(1) {
        double.require_key(&key);
    }
    double.cached_tokens(2);
    say(&double.base_url());
    // The runtime goes on while the main task waits for a line.
    for line in stdin().lock().lines() {
        let line = line.expect("a line of text");
        double.reply(serde_json::from_str(&line).expect("a reply"));
        say("ok");
    }
}

fn say(line: &str) {
    println!("{line}");
    stdout().flush().expect("an output");
}
