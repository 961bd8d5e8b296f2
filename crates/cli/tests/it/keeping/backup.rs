use std::{
    collections::BTreeSet,
    env, fs,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::lines;
use crate::{
    api::Api,
    server::{Home, Ran, finished},
    tenant::{acme, ticket, ticket_with},
};

const CLIENTS: usize = 4;
/// Between two tickets of a client at the beginning; after so many it is twice as long, and so on.
const PAUSE: Duration = Duration::from_millis(40);
const SLOWER_AFTER: u32 = 100;

/// Runs a command of `home`'s environment on another data folder.
fn on(home: &Home, data: &Path, arguments: &[&str]) -> Ran {
    finished(home.bare_command().arg("--data").arg(data).args(arguments))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Sends distinct tickets one after the other until it is told to stop, and notes each when it is acknowledged.
async fn customer(api: Api, client: usize, acknowledged: Arc<Mutex<BTreeSet<String>>>, stop: Arc<AtomicBool>) {
    for n in 0_u32.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let id = format!("T-{client}-{n}");
        api.accept(&ticket_with(&id, |ticket| ticket["customer_id"] = format!("C-{client}").into())).await;
        acknowledged.lock().unwrap().insert(id);
        // The backups are many and the checks read them whole: a load, not all that the machine can do.
        tokio::time::sleep(PAUSE * (1 + n / SLOWER_AFTER)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_under_load_restore_to_a_prefix_of_what_was_acknowledged() {
    let fast = env::var_os("SWITCHBOARD_TEST_FAST").map(|_| 2);
    let number = env::var("SWITCHBOARD_TEST_BACKUPS").ok().map(|text| text.parse().expect("a number of backups"));
    let number: usize = number.or(fast).unwrap_or(10);
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    let server = home.start_empty();
    let api = server.api(&home.make_key("acme", &[]));
    let (acknowledged, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| tokio::spawn(customer(api.clone(), client, Arc::clone(&acknowledged), Arc::clone(&stop))))
        .collect();
    let (mut unfinished, mut last) = (0, 0);
    for n in 0..number {
        let before = acknowledged.lock().unwrap().clone();
        let file = home.beside(&format!("backup-{n}.zip"));
        let home = &home;
        let (manifest, restored) = tokio::task::block_in_place(|| {
            let manifest = home.json(&["backup", text(&file)])["manifest"].clone();
            let restored = home.beside(&format!("restored-{n}"));
            let ran = on(home, &restored, &["restore", text(&file), "--json"]);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            (manifest, restored)
        });
        // Cut there, so that the load has gone on since: what came later must not be in the backup as a part only.
        let export = tokio::task::block_in_place(|| on(home, &restored, &["export", "-", "--quiet"]));
        assert_eq!(export.code, Some(0), "{export:?}");
        let found = check_whole(&lines(&export.stdout), &mut unfinished);
        assert_eq!(manifest["tickets"], found.len(), "{n}");
        let lost: Vec<_> = before.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged before backup {n} and not in it: {lost:?}");
        for client in 0..CLIENTS {
            let mine = found.iter().filter(|id| id.starts_with(&format!("T-{client}-"))).count();
            let prefix = (0..mine).all(|n| found.contains(&format!("T-{client}-{n}")));
            assert!(prefix, "backup {n} has a hole in what client {client} sent one after the other");
        }
        assert!(found.len() >= last, "backups only grow");
        last = found.len();
        let doctor = tokio::task::block_in_place(|| on(home, &restored, &["doctor", "--json"]));
        assert!(doctor.stdout.contains("integrity ok"), "{doctor:?}");
        fs::remove_dir_all(&restored).unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let all = acknowledged.lock().unwrap().len();
    println!(
        "{number} backups, {all} tickets acknowledged meanwhile, {last} in the last backup, {unfinished} unfinished in them"
    );
    assert!(all > last, "the load went on during the last backup");
}

/// Nothing half: each ticket has its event, each decided one its decision and that event. Gives the tickets.
fn check_whole(lines: &[Value], unfinished: &mut usize) -> BTreeSet<String> {
    let events: BTreeSet<(&str, &str)> = lines
        .iter()
        .filter(|line| line["kind"] == "event")
        .map(|line| (line["detail_type"].as_str().unwrap(), line["ticket_id"].as_str().unwrap()))
        .collect();
    let mut found = BTreeSet::new();
    for line in lines.iter().filter(|line| line["kind"] == "ticket") {
        let id = line["ticket_id"].as_str().unwrap();
        assert!(events.contains(&("TicketReceived", id)), "{id}");
        assert_eq!(line["routed"] == true, events.contains(&("TicketRouted", id)), "{id}");
        assert_eq!(line["routed"] == true, line["decision"].is_object(), "{id}");
        assert_eq!(line["sync"] == "success", events.contains(&("TicketSynced", id)), "{id}");
        *unfinished += usize::from(line["sync"] == "pending");
        found.insert(id.to_owned());
    }
    found
}

/// A home with a tenant, a secret, some tickets, and a backup of it.
async fn backed_up() -> (Home, String) {
    let home = Home::with_tenant(&acme(&json!({"kind": "none"})));
    let mut server = home.start_empty();
    let key = home.make_key("acme", &[]);
    let secrets = home.data().join("secrets/acme");
    fs::create_dir_all(&secrets).unwrap();
    fs::write(secrets.join("hook"), "canary-of-a-secret").unwrap();
    let api = server.api(&key);
    for id in ["T-1", "T-2"] {
        api.accept(&ticket(id)).await;
        api.ticket_when(id, "success").await;
    }
    tokio::task::block_in_place(|| home.ok(&["backup", text(&home.beside("backup.zip"))]));
    server.kill();
    (home, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_folder_serves_with_the_same_keys_tenants_and_secrets() {
    let (home, key) = backed_up().await;
    let file = home.beside("backup.zip");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = home.run(&["backup", text(&file)]);
    assert!(again.stderr.contains("--force"), "{again:?}");
    let database = rusqlite::Connection::open(home.data().join("switchboard.db")).unwrap();
    database.execute("INSERT INTO sessions VALUES (x'00', 's', 0, 0, 9)", []).unwrap();
    drop(database);
    home.ok(&["backup", text(&file), "--force"]);
    let shown = home.ok(&["restore", text(&file), "--check"]);
    assert!(shown.contains("good: 2 tickets"), "{shown}");
    // Everything is gone, and comes back into the same, empty folder.
    fs::remove_dir_all(home.data()).unwrap();
    let restored = home.json(&["restore", text(&file)]);
    assert_eq!((&restored["tickets"], &restored["kept_aside"]), (&json!(2), &Value::Null), "{restored}");
    assert_eq!(fs::read_to_string(home.data().join("secrets/acme/hook")).unwrap(), "canary-of-a-secret");
    let left: Vec<_> = fs::read_dir(home.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().contains("restore")), "{left:?}");
    let database = rusqlite::Connection::open(home.data().join("switchboard.db")).unwrap();
    let sessions = database.query_row("SELECT count(*) FROM sessions", [], |row| row.get::<_, u32>(0));
    assert_eq!(sessions, Ok(0), "a session that was ended since the backup would work again");
    drop(database);
    let server = home.start_empty();
    let api = server.api(&key);
    assert_eq!(api.ticket("T-2").await["sync_status"], "success");
    api.accept(&ticket("T-3")).await;
    api.ticket_when("T-3", "success").await;
    drop(server);
    // Over data: refused, and by --force kept aside.
    let refused = home.run(&["restore", text(&file)]);
    assert!(refused.code == Some(1) && refused.stderr.contains("has data"), "{refused:?}");
    let restored = home.json(&["restore", text(&file), "--force"]);
    let aside = home.data().join(restored["kept_aside"].as_str().unwrap());
    let tickets = |data: &Path| {
        let ran = on(&home, data, &["tickets", "list", "--json"]);
        serde_json::from_str::<Value>(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}")).as_array().unwrap().len()
    };
    assert_eq!(tickets(&home.data()), 2);
    assert_eq!(tickets(&aside), 3, "what was kept aside is a data folder itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_and_a_folder_in_use_are_refused_and_nothing_changes() {
    let (home, _) = backed_up().await;
    let (file, into) = (home.beside("backup.zip"), home.beside("into"));
    let whole = fs::read(&file).unwrap();
    let bad = home.beside("bad.zip");
    // Within the database, the first file of the archive. Many bytes: one alone may say the same in another way, such as how far
    // back a run of zeros is copied from.
    for (n, at) in [1_000, 2_000, 3_000, 4_000].into_iter().enumerate() {
        let mut bytes = whole.clone();
        bytes[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&bad, bytes).unwrap();
        let ran = on(&home, &into, &["restore", text(&bad)]);
        assert_eq!(ran.code, Some(1), "flipped byte {n} at {at}: {ran:?}");
        let left: Vec<_> = fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name == "switchboard.db" || name == "restore-staged"), "{n}: {left:?}");
    }
    for cut in [0, 1_000, whole.len() - 1] {
        fs::write(&bad, &whole[..cut]).unwrap();
        let ran = on(&home, &into, &["restore", text(&bad)]);
        assert!(ran.code == Some(1) && ran.stderr.contains("backup"), "cut to {cut}: {ran:?}");
    }
    let _server = home.start_empty();
    let ran = home.run(&["restore", text(&file), "--force"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("another server works"), "{ran:?}");
    assert_eq!(home.json(&["tickets", "list"]).as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_goes_through_a_pipe_and_can_leave_the_secrets_out() {
    let (home, _) = backed_up().await;
    let into = home.beside("into");
    let piped = home.command(&["backup", "-", "--without-secrets"]).output().unwrap();
    assert!(piped.status.success() && !piped.stdout.is_empty());
    let file = home.beside("piped.zip");
    fs::write(&file, &piped.stdout).unwrap();
    let mut restore = home.bare_command();
    restore.arg("--data").arg(&into).args(["restore", "-"]).stdin(Stdio::from(fs::File::open(&file).unwrap()));
    let ran = finished(&mut restore);
    assert!(ran.code == Some(0) && ran.stdout.contains("has no secrets"), "{ran:?}");
    assert!(!into.join("secrets").exists());
    assert_eq!(fs::read(into.join("pepper")).unwrap(), fs::read(home.data().join("pepper")).unwrap());
    let ran = on(&home, &home.beside("nothing"), &["backup", text(&file), "--force"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("there is no data"), "{ran:?}");
}
