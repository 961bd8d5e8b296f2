//! What the machine and the disk allow.

use std::{path::Path, time::Instant};

use anyhow::Result;
use axum::{Router, routing::post};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::load::Load;

/// Requests a second that an empty axum handler answers to the same load.
pub(crate) async fn empty_handler(connections: usize, requests: usize) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server =
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/tickets", post(|| async {}))).await });
    let started = Instant::now();
    Load::tickets("empty", requests).send(address, "", connections, None, 200).await?;
    let rate = requests as f64 / started.elapsed().as_secs_f64();
    server.abort();
    Ok(rate.round())
}

/// Rows a second of SQLite with `synchronous=FULL`, by rows of a commit. A ticket's way inserts 8 rows, changes 4 and removes 2.
pub(crate) fn group_commit(path: &Path) -> Result<Value> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE rows (id INTEGER PRIMARY KEY, tenant TEXT, name TEXT, at INTEGER, body TEXT);
         CREATE UNIQUE INDEX by_name ON rows (tenant, name); CREATE INDEX by_time ON rows (tenant, at);",
    )?;
    let body = "x".repeat(400);
    let mut at = 0_i64;
    let mut rate = |commits: usize, group: usize| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..commits {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..group {
                at += 1;
                connection
                    .prepare_cached("INSERT INTO rows (tenant, name, at, body) VALUES ('t', ?1, ?2, ?3)")?
                    .execute(params![at.to_string(), at, body])?;
            }
            connection.execute_batch("COMMIT")?;
        }
        Ok(((commits * group) as f64 / started.elapsed().as_secs_f64()).round())
    };
    let (one, hundred, thousand) = (rate(200, 1)?, rate(100, 100)?, rate(30, 1_000)?);
    Ok(json!({
        "1 row a commit": format!("{one} rows/s, so one durable commit takes {:.2} ms", 1e3 / one),
        "100 rows a commit": format!("{hundred} rows/s"),
        "1000 rows a commit": format!("{thousand} rows/s"),
    }))
}
