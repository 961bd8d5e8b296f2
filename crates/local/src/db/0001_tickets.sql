-- Times are milliseconds since 1970; state columns hold the position of the word in the core's enum.

-- The row that lists and filters read; the texts lie beside it, so that its updates stay small.
CREATE TABLE tickets (
    id              INTEGER PRIMARY KEY,
    tenant          TEXT NOT NULL,
    ticket_id       TEXT NOT NULL,
    customer_id     TEXT NOT NULL,
    accepted_at     INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    idempotency_key TEXT,
    routed          INTEGER NOT NULL DEFAULT 0,
    decision_id     TEXT,
    decided_at      INTEGER,
    team            TEXT,
    category        TEXT,
    severity        INTEGER,
    priority        INTEGER,
    score           REAL,
    confidence      REAL,
    review          INTEGER NOT NULL DEFAULT 0,
    sync            INTEGER NOT NULL DEFAULT 0,
    sync_failures   INTEGER NOT NULL DEFAULT 0,
    sync_receipt    TEXT,
    sync_error      TEXT,
    sync_changed_at INTEGER,
    -- an operator has dropped its dead letter: nobody works on it any more
    dropped         INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX tickets_by_id ON tickets (tenant, ticket_id);
CREATE UNIQUE INDEX tickets_by_key ON tickets (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tickets_by_time ON tickets (tenant, accepted_at);
CREATE INDEX tickets_by_customer ON tickets (tenant, customer_id, accepted_at);
CREATE INDEX tickets_by_team ON tickets (tenant, team, accepted_at) WHERE team IS NOT NULL;
CREATE INDEX tickets_by_priority ON tickets (tenant, priority, accepted_at) WHERE priority IS NOT NULL;
CREATE INDEX tickets_unsynced ON tickets (tenant, sync, accepted_at) WHERE sync <> 1;
CREATE INDEX tickets_to_review ON tickets (tenant, accepted_at) WHERE review = 1;
CREATE INDEX tickets_undecided ON tickets (tenant, accepted_at) WHERE routed = 0;
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
CREATE INDEX tickets_unfinished ON tickets (accepted_at) WHERE sync = 0 AND dropped = 0;

CREATE TABLE ticket_records (ticket INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE decisions (ticket INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT;

-- The archive of what happened. Ids are ULIDs, so they sort by time.
CREATE TABLE events (
    id             TEXT NOT NULL PRIMARY KEY,
    tenant         TEXT NOT NULL,
    detail_type    TEXT NOT NULL,
    ticket_id      TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    at             INTEGER NOT NULL,
    detail         TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_ticket ON events (tenant, ticket_id);

-- Events that wait for their work, oldest first by id.
-- state: 0 due, 1 leased, 2 due and to run alone, 3 waiting for its time.
CREATE TABLE jobs (
    id          INTEGER PRIMARY KEY,
    event       TEXT NOT NULL UNIQUE,
    tenant      TEXT NOT NULL,
    ticket_id   TEXT NOT NULL,
    state       INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL DEFAULT 0,
    token       INTEGER NOT NULL DEFAULT 0,
    -- monotonic milliseconds of the process that leased it: meaningless to any other process
    lease_until INTEGER NOT NULL DEFAULT 0,
    failed      INTEGER NOT NULL DEFAULT 0,
    interrupted INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state);
CREATE INDEX jobs_by_time ON jobs (due_at) WHERE state = 3;
CREATE INDEX jobs_by_ticket ON jobs (tenant, ticket_id);

CREATE TABLE dead_letters (
    event       TEXT NOT NULL PRIMARY KEY,
    tenant      TEXT NOT NULL,
    ticket_id   TEXT NOT NULL,
    reason      TEXT NOT NULL,
    failed      INTEGER NOT NULL,
    interrupted INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_time ON dead_letters (tenant, at);
CREATE INDEX dead_letters_by_ticket ON dead_letters (tenant, ticket_id);

-- One row: the number of server processes that this file has seen.
CREATE TABLE process (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL) STRICT;
INSERT INTO process VALUES (1, 0);

CREATE TABLE api_keys (
    id         TEXT NOT NULL PRIMARY KEY,
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    hash       BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_by_tenant ON api_keys (tenant, created_at);

CREATE TABLE customers (
    tenant      TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    record      TEXT NOT NULL,
    fetched_at  INTEGER,
    PRIMARY KEY (tenant, customer_id)
) STRICT, WITHOUT ROWID;
