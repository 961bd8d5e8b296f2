use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use rusqlite::{Connection, types::Value};
use switchboard_core::ids::EventId;
use switchboard_local::SqliteStore;
use switchboard_testkit::{
    sim::{Hidden, Machine, Opened},
    world::FixedClock,
};
use tempfile::TempDir;

use crate::contracts::open;

/// A machine with one data folder, in memory where the system has a place for that.
pub(super) struct SqliteMachine {
    folder: TempDir,
}

impl SqliteMachine {
    pub(super) fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        Self { folder: folder.unwrap() }
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(self.folder.path().join("switchboard.db")).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        connection
    }
}

const TABLES: [&str; 2] = ["events", "jobs"];

fn key(table: &str) -> &'static str {
    if table == "events" { "id" } else { "event" }
}

#[async_trait]
impl Machine for SqliteMachine {
    async fn open(&self, clock: Arc<FixedClock>) -> Opened {
        let store: Arc<SqliteStore> = open(self.folder.path(), &clock);
        let swept = Arc::clone(&store);
        Opened {
            store: store.clone(),
            queue: store.clone(),
            effects: store.clone(),
            examples: store,
            sweep: Arc::new(move || {
                let store = Arc::clone(&swept);
                Box::pin(async move { store.sweep().await.map(|_| ()) })
            }),
        }
    }

    async fn lose_deliveries(&self) -> u64 {
        self.connect().execute("DELETE FROM jobs WHERE state IN (0, 3)", []).unwrap() as u64
    }

    async fn hide(&self, event: &EventId) -> Hidden {
        let connection = self.connect();
        let mut hidden = Vec::new();
        for table in TABLES {
            let mut statement =
                connection.prepare(&format!("SELECT * FROM {table} WHERE {} = ?1", key(table))).unwrap();
            let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let rows = statement.query_map([event.as_str()], |row| {
                Ok(columns
                    .iter()
                    .enumerate()
                    .filter_map(|(n, name)| match row.get::<_, Value>(n).unwrap() {
                        Value::Integer(number) => Some((name.clone(), number.to_string())),
                        Value::Text(text) => Some((name.clone(), text)),
                        _ => None,
                    })
                    .chain([("table".to_owned(), table.to_owned())])
                    .collect())
            });
            hidden.extend(rows.unwrap().map(|row: rusqlite::Result<_>| row.unwrap()));
            connection.execute(&format!("DELETE FROM {table} WHERE {} = ?1", key(table)), [event.as_str()]).unwrap();
        }
        Hidden(hidden)
    }

    async fn show(&self, hidden: Hidden) {
        let connection = self.connect();
        for mut row in hidden.0 {
            let table = row.remove("table").unwrap();
            let (names, values): (Vec<_>, Vec<_>) = row.into_iter().unzip();
            let places = vec!["?"; names.len()].join(", ");
            let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", names.join(", "));
            connection.execute(&sql, rusqlite::params_from_iter(values)).unwrap();
        }
    }
}
