//! What outlives the process, and what two processes on one file may expect.

use std::sync::Arc;

use switchboard_core::{
    ids::TicketId,
    ports::{Clock, TenantScope, TicketStore},
};
use switchboard_local::{DataError, Role, SqliteStore, SystemIds, load_or_make_pepper};
use switchboard_testkit::{sample, world::FixedClock};
use tempfile::TempDir;

use crate::contracts::open;

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused() {
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(FixedClock::new());
    drop(open(folder.path(), &clock));
    let path = folder.path().join("switchboard.db");
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteStore::open(&path, clock, Role::Server).err().unwrap();
    assert!(matches!(refused, DataError::TooNew { found: 99, .. }), "{refused}");
}

#[tokio::test]
async fn no_database_is_told_as_such() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("switchboard.db");
    std::fs::write(&path, "this is no database, and long enough to be seen as one".repeat(40)).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new());
    assert!(matches!(SqliteStore::open(&path, clock, Role::Server), Err(DataError::Open { .. })));
}

#[tokio::test]
async fn a_tool_beside_the_server_leaves_its_leases_alone() {
    use switchboard_core::ports::EventQueue;
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(FixedClock::new());
    let server = open(folder.path(), &clock);
    let tenant = sample::tenant();
    let scope = TenantScope::of_tenant(&tenant);
    let ids = switchboard_testkit::world::SeededIds::new(1);
    let ticket = sample::ticket(1);
    let id: TicketId = ticket.id.clone();
    server.accept(&scope, vec![sample::new_ticket(&scope, ticket, &ids)]).await.unwrap();
    let held = server.lease(10, std::time::Duration::from_secs(60)).await.unwrap();
    let tool = SqliteStore::open(&folder.path().join("switchboard.db"), clock, Role::Tool).unwrap();
    assert!(tool.ticket(&scope, &id).await.unwrap().is_some());
    server.complete(&held[0].lease).await.unwrap();
    assert_eq!(tool.integrity().await.unwrap().messages, ["ok"]);
}

#[test]
fn the_pepper_is_made_once_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let ids = SystemIds::default();
    load_or_make_pepper(folder.path(), false, &ids).unwrap();
    let path = folder.path().join("pepper");
    let first = std::fs::read(&path).unwrap();
    load_or_make_pepper(folder.path(), false, &ids).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&path).unwrap();
    assert!(load_or_make_pepper(folder.path(), true, &ids).unwrap_err().to_string().contains("restore it"));
    std::fs::write(&path, "short").unwrap();
    assert!(load_or_make_pepper(folder.path(), false, &ids).unwrap_err().to_string().contains("32 bytes"));
}
