-- Who may do what, and the record of it.

ALTER TABLE api_keys ADD COLUMN used_at INTEGER;

-- The record of administrative acts. What is in `record` is what the hash covers; tenant, time and act are read out of it,
-- so that no copy of them can say otherwise.
CREATE TABLE audit_log (
    sequence INTEGER PRIMARY KEY,
    record   TEXT NOT NULL,
    hash     BLOB NOT NULL,
    tenant   TEXT GENERATED ALWAYS AS (iif(json_valid(record), json_extract(record, '$.tenant'), NULL)) VIRTUAL,
    at       TEXT GENERATED ALWAYS AS (iif(json_valid(record), json_extract(record, '$.at'), NULL)) VIRTUAL,
    action   TEXT GENERATED ALWAYS AS (iif(json_valid(record), json_extract(record, '$.action'), NULL)) VIRTUAL
) STRICT;
CREATE INDEX audit_log_by_tenant ON audit_log (tenant, sequence);
CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audit_log_is_not_shortened BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;

-- The newest entry's number and hash, signed with a key that is not in this file.
CREATE TABLE audit_head (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    mac      BLOB NOT NULL
) STRICT;
CREATE TRIGGER audit_head_goes_forward BEFORE UPDATE ON audit_head WHEN new.sequence <= old.sequence
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
BEGIN SELECT RAISE(ABORT, 'the audit log is only appended to'); END;

-- The operator's password.
CREATE TABLE operator (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    salt       BLOB NOT NULL,
    hash       BLOB NOT NULL,
    memory_kib INTEGER NOT NULL,
    passes     INTEGER NOT NULL,
    lanes      INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    token      BLOB NOT NULL PRIMARY KEY,
    id         TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
