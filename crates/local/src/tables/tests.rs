use rusqlite::Connection;

use super::*;

fn schema() -> Connection {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let mut connection = Connection::open(&path).unwrap();
    crate::db::migrate_for_tests(&mut connection, &path);
    connection
}

fn names(connection: &Connection, sql: &str) -> Vec<String> {
    connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_table_and_column_of_the_schema_has_its_place() {
    let connection = schema();
    let known: Vec<&str> = TABLES
        .iter()
        .flat_map(|table| std::iter::once(table.name).chain(table.children.iter().map(|child| child.name)))
        .chain(OTHERS.iter().copied())
        .collect();
    for table in names(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    {
        assert!(known.contains(&table.as_str()), "decide in tables.rs what export, import and wipe do with `{table}`");
    }
    // `id` is the row's number where it is no event's; `held` is a state of this server alone.
    let left_out = |table: &str, column: &str| {
        column == "tenant"
            || column == "ticket"
            || column == "held"
            || (column == "id" && !matches!(table, "events" | "effects"))
    };
    for table in TABLES {
        let parts = table.exported.iter().map(|exported| (table.name, exported.columns));
        for (name, columns) in parts.chain(table.children.iter().map(|child| (child.name, child.columns))) {
            for column in names(&connection, &format!("SELECT name FROM pragma_table_info('{name}')")) {
                let has = columns.iter().any(|one| one.name == column);
                assert!(has != left_out(name, &column), "decide in tables.rs what becomes of `{name}.{column}`");
            }
        }
    }
}

#[test]
fn every_table_refuses_rows_of_a_wiped_tenant() {
    let triggers = names(&schema(), "SELECT name FROM sqlite_schema WHERE type = 'trigger'");
    for table in TABLES {
        let trigger = format!("{}_of_wiped", table.name);
        assert!(triggers.contains(&trigger), "add the trigger `{trigger}`, as in 0006_retention.sql");
    }
}

#[test]
fn numbers_keep_every_bit() {
    for number in [0.1 + 0.2, 1.0 / 3.0, 5e-324, 97.123_456_789_012_34, 0.0, 100.0] {
        let json = Form::Real.to_json(ValueRef::Real(number)).unwrap();
        let raw = RawValue::from_string(json).unwrap();
        assert_eq!(Form::Real.to_sql(&raw), Ok(Value::Real(number)));
    }
}
