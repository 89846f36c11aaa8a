-- Runs, their states, what flows have called, and who has written all that.
--
-- Ids are 16 bytes, most significant first, so that they sort as they were made. Times are nanoseconds since the epoch.
-- A column of a run that could be taken from its last state is there because it is looked for.

CREATE TABLE owners (
    token INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    opened INTEGER NOT NULL,
    ended INTEGER,                          -- NULL for the present owner
    groups INTEGER NOT NULL DEFAULT 0       -- so many have been written
) STRICT;

CREATE TABLE flow_runs (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    flow TEXT NOT NULL,
    version TEXT,
    parent BLOB,
    parent_task_run BLOB,
    file TEXT NOT NULL,
    module TEXT NOT NULL,
    function TEXT NOT NULL,
    tags TEXT,                              -- a JSON array; NULL for none
    owner INTEGER NOT NULL,
    deaths INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,                          -- NULL while somebody is expected to end it
    attempts INTEGER NOT NULL,
    sequence INTEGER NOT NULL,              -- of the present state
    type TEXT NOT NULL,                     -- of the present state
    suspended INTEGER NOT NULL              -- nobody runs it, until it is resumed
) STRICT, WITHOUT ROWID;

CREATE INDEX flow_runs_inside ON flow_runs (parent) WHERE parent IS NOT NULL;
CREATE INDEX flow_runs_alive ON flow_runs (id) WHERE ended IS NULL;
CREATE INDEX flow_runs_of ON flow_runs (flow, id);

CREATE TABLE parameters (
    flow_run BLOB NOT NULL,
    name TEXT NOT NULL,
    tag TEXT NOT NULL,
    blob BLOB,
    missing TEXT NOT NULL,
    PRIMARY KEY (flow_run, name)
) STRICT;

CREATE TABLE task_runs (
    id BLOB PRIMARY KEY,
    flow_run BLOB,                          -- NULL outside of any
    task TEXT NOT NULL,
    name TEXT,                              -- NULL for the usual one
    key INTEGER NOT NULL,
    parent BLOB,
    tags TEXT,
    inputs TEXT,                            -- a JSON object; NULL for none
    created INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,
    attempts INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0       -- it was rolled back
) STRICT, WITHOUT ROWID;

CREATE INDEX task_runs_inside ON task_runs (flow_run, id);
CREATE INDEX task_runs_alive ON task_runs (id) WHERE ended IS NULL;

CREATE TABLE states (
    run BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    name TEXT,                              -- NULL for the usual one
    message TEXT,
    at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    details TEXT,                           -- a JSON object; NULL for none
    PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID;

-- What the present state of a run holds; no row for nothing.
CREATE TABLE results (
    run BLOB PRIMARY KEY,
    tag TEXT NOT NULL,
    blob BLOB,
    missing TEXT NOT NULL
) STRICT;

CREATE TABLE calls (
    flow_run BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    position INTEGER NOT NULL,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    place INTEGER NOT NULL,
    first BLOB NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (flow_run, attempt, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
    flow_run BLOB NOT NULL,
    key TEXT NOT NULL,
    tag TEXT NOT NULL,
    blob BLOB,
    missing TEXT NOT NULL,
    PRIMARY KEY (flow_run, key)
) STRICT;
