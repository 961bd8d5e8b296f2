-- What tenants spend on language models, in billionths of a US dollar, by the month (`2026-11`) and the day (`2026-11-20`) of UTC.
-- The empty customer stands for the tenant itself: an id is never empty. `spent` counts against the ceiling; `open` is the part of
-- it that is reserved for calls whose end nobody has told.
CREATE TABLE model_usage (
    tenant   TEXT NOT NULL,
    customer TEXT NOT NULL,
    period   TEXT NOT NULL,
    spent    INTEGER NOT NULL CHECK (spent >= 0),
    open     INTEGER NOT NULL,
    calls    INTEGER NOT NULL,
    PRIMARY KEY (tenant, customer, period)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_usage_by_period ON model_usage (period);

CREATE TRIGGER model_usage_of_wiped BEFORE INSERT ON model_usage
WHEN EXISTS (SELECT 1 FROM wiped_tenants WHERE tenant = NEW.tenant) BEGIN SELECT RAISE(ABORT, 'the tenant was wiped'); END;
