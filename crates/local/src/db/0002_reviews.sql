-- What people make of decisions, and what is learnt from it.

-- `review` stays what the decision asked for; this says that a person has looked, asked or not.
ALTER TABLE tickets ADD COLUMN reviewed INTEGER NOT NULL DEFAULT 0;
-- The review that the write-back tells of; null while that is the decision.
ALTER TABLE tickets ADD COLUMN sync_of TEXT;

DROP INDEX tickets_to_review;
CREATE INDEX tickets_to_review ON tickets (tenant, accepted_at) WHERE review = 1 AND reviewed = 0;
-- The review queue: each pair of category and team in the order of its confidence.
CREATE INDEX tickets_by_doubt ON tickets (tenant, category, team, confidence) WHERE review = 1 AND reviewed = 0;
CREATE INDEX tickets_reviewed ON tickets (tenant, accepted_at) WHERE reviewed = 1;
-- How often each category comes.
CREATE INDEX tickets_by_category ON tickets (tenant, category, accepted_at) WHERE category IS NOT NULL;

CREATE TABLE reviews (ticket INTEGER PRIMARY KEY, review_id TEXT NOT NULL, record TEXT NOT NULL) STRICT;

CREATE TABLE examples (
    id         INTEGER PRIMARY KEY,
    tenant     TEXT NOT NULL,
    example_id TEXT NOT NULL,
    text       TEXT NOT NULL,
    category   TEXT,
    team       TEXT,
    source     INTEGER NOT NULL,
    at         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX examples_by_id ON examples (tenant, example_id);
CREATE INDEX examples_by_time ON examples (tenant, at);
CREATE INDEX examples_by_source ON examples (tenant, source, at);
