//! The double of Amazon Bedrock as a process of its own, for clients in other languages. Its first line says where it listens.
//! Each line that it then reads is a JSON object: a reply (`doubles::bedrock::Reply`), `{"invoke": reply}`, `{"block": word}`,
//! each of which it answers with `ok`, or `{"asked": n}`, which it answers with the requests from the nth on as a JSON list. It ends
//! with its input.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a tool for tests talks by its output")]

use std::io::{BufRead as _, Write as _, stdin, stdout};

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard_testkit::doubles::{BedrockDouble, bedrock::Reply};

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Invoke { invoke: Reply },
    Block { block: String },
    Asked { asked: usize },
    Converse(Reply),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let double = BedrockDouble::start().await;
    if let Some(key) = std::env::args().nth(1) {
        double.require_access_key(&key);
    }
    double.cached_tokens(2);
    say(&double.url());
    // The runtime goes on while the main task waits for a line.
    for line in stdin().lock().lines() {
        let line = line.expect("a line of text");
        match serde_json::from_str(&line).expect("a reply") {
            Line::Invoke { invoke } => double.reply_invoke(invoke),
            Line::Block { block } => double.block(&block),
            Line::Converse(reply) => double.reply(reply),
            Line::Asked { asked } => {
                let all = double.asked();
                let all = all
                    .iter()
                    .skip(asked)
                    .map(|one| json!({"path": one.path, "subject": one.subject, "body": one.body}));
                say(&Value::from_iter(all).to_string());
                continue;
            }
        }
        say("ok");
    }
}

fn say(line: &str) {
    println!("{line}");
    stdout().flush().expect("an output");
}
