-- Tickets of a day (days since 1970 in UTC) that count towards a quota. The empty customer stands for the whole tenant: an
-- id is never empty. Rows are there only where a quota is set, and are swept when their day is over.
CREATE TABLE quota_counts (
    day      INTEGER NOT NULL,
    tenant   TEXT NOT NULL,
    customer TEXT NOT NULL,
    tickets  INTEGER NOT NULL,
    PRIMARY KEY (day, tenant, customer)
) STRICT, WITHOUT ROWID;
