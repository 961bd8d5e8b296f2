-- How long a job that waits for its retry was made to wait, in milliseconds: after a restart, a wall clock that was set back
-- makes it wait no longer than that. Older rows know the longest wait only (limits::RETRY_WAIT).
ALTER TABLE jobs ADD COLUMN wait_ms INTEGER NOT NULL DEFAULT 3700000;
