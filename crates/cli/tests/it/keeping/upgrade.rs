//! A newer program beside data of an older one.

use std::fs::{self, File};

use rusqlite::Connection;
use serde_json::json;
use switchboard_local::MIGRATIONS;

use crate::{server::Home, tenant::acme};

#[test]
fn a_command_brings_tables_forward_only_when_no_server_works_on_them() {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    drop(home.start_empty());
    let database = home.data().join("switchboard.db");
    for end in ["", "-wal", "-shm"] {
        // The log and its index are not there when the server closed the file as its last user.
        let _ = fs::remove_file(format!("{}{end}", database.display()));
    }
    let older = MIGRATIONS.len() - 1;
    let connection = Connection::open(&database).unwrap();
    MIGRATIONS[..older].iter().for_each(|step| connection.execute_batch(step).unwrap());
    connection.pragma_update(None, "user_version", u32::try_from(older).unwrap()).unwrap();
    let version = || connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap() as usize;
    let server = File::options().append(true).open(home.data().join("server.lock")).unwrap();
    server.lock().unwrap();
    let refused = home.run(&["keys", "list"]);
    assert_eq!((refused.code, version()), (Some(1), older), "{refused:?}");
    assert!(refused.stderr.contains("a server of an older version works on"), "{refused:?}");
    drop(server);
    home.ok(&["keys", "list"]);
    assert_eq!(version(), MIGRATIONS.len());
}
