-- Runs that are put off, their states, and the workers that have them.
--
-- Ids are 16 bytes, most significant first, so that they sort as they were made. Times are nanoseconds since the epoch.

CREATE TABLE workers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    mark TEXT NOT NULL,                     -- what its bell and its lock are called
    enlisted INTEGER NOT NULL
) STRICT;

CREATE TABLE jobs (
    id BLOB PRIMARY KEY,
    task TEXT NOT NULL,
    key TEXT NOT NULL,
    flow_run BLOB,
    tags TEXT,                              -- a JSON array; NULL for none
    awaited TEXT,                           -- a JSON array of ids: what was given to wait for; NULL for nothing
    created INTEGER NOT NULL,
    awaits INTEGER NOT NULL,                -- so many runs have to end before
    worker INTEGER,                         -- NULL for none
    cancel TEXT,                            -- why its worker is to cancel it
    lost INTEGER NOT NULL DEFAULT 0,        -- workers that have ended while they had it
    sequence INTEGER NOT NULL,              -- of the present state
    ended INTEGER                           -- NULL before
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_ready ON jobs (key, id) WHERE worker IS NULL AND ended IS NULL AND awaits = 0;
CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (ended) WHERE ended IS NOT NULL;

-- The arguments of runs that have not ended.
CREATE TABLE calls (
    job BLOB PRIMARY KEY,
    tag TEXT NOT NULL,
    blob BLOB,
    missing TEXT NOT NULL
) STRICT;

CREATE TABLE states (
    job BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    message TEXT,
    at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    details TEXT,                           -- a JSON object; NULL for none
    PRIMARY KEY (job, sequence)
) STRICT, WITHOUT ROWID;

-- What the last state of a run holds; no row for nothing.
CREATE TABLE results (
    job BLOB PRIMARY KEY,
    tag TEXT NOT NULL,
    blob BLOB,
    missing TEXT NOT NULL,
    stored TEXT                             -- the key that the result lies under in the task's storage, if not here
) STRICT;

-- Which run waits for the end of which.
CREATE TABLE waits (
    awaited BLOB NOT NULL,
    job BLOB NOT NULL,
    PRIMARY KEY (awaited, job)
) STRICT, WITHOUT ROWID;

-- The ends of runs as they came, so that who waits for some has to look at the new ones only.
CREATE TABLE ends (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job BLOB NOT NULL
) STRICT;

CREATE INDEX ends_of ON ends (job);
