-- What leaves the system, and a queue that is fair between tenants.

-- state: 0 intended, 1 attempted, 2 done, 3 failed, 4 unknown, 5 superseded, 6 abandoned.
CREATE TABLE effects (
    id          TEXT NOT NULL PRIMARY KEY,
    tenant      TEXT NOT NULL,
    kind        INTEGER NOT NULL,
    ticket      INTEGER NOT NULL,
    event       TEXT NOT NULL,
    state       INTEGER NOT NULL DEFAULT 0,
    attempts    INTEGER NOT NULL DEFAULT 0,
    intended_at INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    receipt     TEXT,
    error       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX effects_by_ticket ON effects (ticket);
CREATE INDEX effects_held ON effects (state, tenant, id) WHERE state IN (3, 4);

-- lane: 0 urgent, 1 ordinary, 2 bulk.
ALTER TABLE jobs ADD COLUMN lane INTEGER NOT NULL DEFAULT 1;
-- When a retry is due, in monotonic milliseconds of the process that serves: a jump of the wall clock moves nothing.
-- `due_at` is the wall time, for the process after that one.
ALTER TABLE jobs ADD COLUMN due_clock INTEGER NOT NULL DEFAULT 0;
DROP INDEX jobs_by_state;
DROP INDEX jobs_by_time;
CREATE INDEX jobs_by_tenant ON jobs (state, tenant, lane, id);
CREATE INDEX jobs_by_time ON jobs (due_clock) WHERE state = 3;

-- How many jobs each tenant has, and all of them by the empty name: counting them would take as long as there are many.
CREATE TABLE backlog (tenant TEXT NOT NULL PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO backlog SELECT tenant, count(*) FROM jobs GROUP BY tenant;
INSERT INTO backlog SELECT '', count(*) FROM jobs;
CREATE TRIGGER jobs_in AFTER INSERT ON jobs BEGIN
    INSERT INTO backlog VALUES (new.tenant, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1;
    UPDATE backlog SET jobs = jobs + 1 WHERE tenant = '';
END;
CREATE TRIGGER jobs_out AFTER DELETE ON jobs BEGIN
    UPDATE backlog SET jobs = jobs - 1 WHERE tenant IN (old.tenant, '');
END;
