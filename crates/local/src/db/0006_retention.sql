-- Retention by kind of data, imports of tenants, and wipes.

-- An import brought it unfinished: nobody works on it until an operator says so, for the old system may still do so.
ALTER TABLE tickets ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
-- A ticket's time is counted from `accepted_at` by the tenant's rule, which may change; `expires_at` is not read any more.
DROP INDEX tickets_by_expiry;
CREATE INDEX customers_by_age ON customers (tenant, fetched_at) WHERE fetched_at IS NOT NULL;

-- One row: the wall clock as retention believes it.
-- trusted_at: when data were last deleted, or could have been. suspect_at: since when a clock that has jumped runs evenly.
-- seen_at: the clock at the last sweep.
CREATE TABLE retention_clock (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    trusted_at INTEGER,
    suspect_at INTEGER,
    seen_at    INTEGER
) STRICT;
INSERT INTO retention_clock VALUES (1, (SELECT at FROM events ORDER BY id DESC LIMIT 1), NULL, NULL);

-- Tenants that were wiped. A row keeps late writes out: see the triggers. done_at is null until the last row is gone.
CREATE TABLE wiped_tenants (tenant TEXT NOT NULL PRIMARY KEY, at INTEGER NOT NULL, done_at INTEGER) STRICT, WITHOUT ROWID;

CREATE TRIGGER tickets_of_wiped BEFORE INSERT ON tickets
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
CREATE TRIGGER events_of_wiped BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
CREATE TRIGGER examples_of_wiped BEFORE INSERT ON examples
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
CREATE TRIGGER customers_of_wiped BEFORE INSERT ON customers
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
CREATE TRIGGER quota_counts_of_wiped BEFORE INSERT ON quota_counts
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
CREATE TRIGGER effects_of_wiped BEFORE INSERT ON effects
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
CREATE TRIGGER api_keys_of_wiped BEFORE INSERT ON api_keys
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
-- Rows of these come from statements about all tenants, which must go on for the others.
CREATE TRIGGER jobs_of_wiped BEFORE INSERT ON jobs
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER dead_letters_of_wiped BEFORE INSERT ON dead_letters
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(IGNORE); END;
