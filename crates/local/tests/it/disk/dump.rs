//! All that a database says, as text: two databases that say the same have the same dump.

use std::fmt::Write;

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use switchboard_faultdisk::{Disk, vfs};

/// Of leases, what only the process that gave them understands.
const MEANINGLESS: &[&str] = &["token", "lease_until", "due_clock"];

/// A connection of the test beside the store's.
pub(super) fn connect(disk: &Disk, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags_and_vfs(disk.path("switchboard.db"), flags, vfs())?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

/// The dump of a database that is open elsewhere; reading it changes nothing on the disk.
pub(super) fn dump(disk: &Disk) -> rusqlite::Result<String> {
    dump_of(&connect(disk, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

pub(super) fn dump_of(connection: &Connection) -> rusqlite::Result<String> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let mut text = format!("version {version}\n");
    let mut master =
        connection.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")?;
    let parts: Vec<(String, String, String)> =
        master.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<rusqlite::Result<_>>()?;
    for (kind, name, sql) in &parts {
        writeln!(text, "{kind} {name}: {sql}").unwrap();
    }
    for (_, table, _) in parts.iter().filter(|(kind, _, _)| kind == "table") {
        let mut rows = connection.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1, 2"))?;
        let columns: Vec<bool> = rows.column_names().map(|name| !MEANINGLESS.contains(&name)).collect();
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            text += table;
            for (at, _) in columns.iter().enumerate().filter(|(_, meant)| **meant) {
                match row.get_ref(at)? {
                    ValueRef::Null => text += "|-",
                    ValueRef::Integer(n) => write!(text, "|{n}").unwrap(),
                    ValueRef::Real(n) => write!(text, "|{n}").unwrap(),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        write!(text, "|{}", String::from_utf8_lossy(bytes)).unwrap();
                    }
                }
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// The lines in which two dumps differ, for people.
pub(super) fn difference(expected: &str, found: &str) -> String {
    let only = |one: &str, other: &str, sign: &str| -> String {
        one.lines()
            .filter(|line| !other.lines().any(|there| there == *line))
            .take(5)
            .map(|line| format!("  {sign} {}\n", line.chars().take(200).collect::<String>()))
            .collect()
    };
    only(expected, found, "-") + &only(found, expected, "+")
}
