-- Runs that are put off, their states, and the workers that have them.
--
-- Times are nanoseconds since the epoch. Names are looked up in the schema of the queue, which the connection has put first.

CREATE TABLE workers (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    session integer NOT NULL,               -- the server's process that holds its lock
    turn bigint NOT NULL DEFAULT 0,         -- so many exchanges it has had
    enlisted bigint NOT NULL
);

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    task text NOT NULL,
    key text NOT NULL,
    flow_run uuid,
    tags text,                              -- a JSON array; NULL for none
    awaited text,                           -- a JSON array of ids: what was given to wait for; NULL for nothing
    created bigint NOT NULL,
    awaits integer NOT NULL,                -- so many runs have to end before
    worker integer,                         -- NULL for none
    turn bigint,                            -- the exchange of that worker in which it was taken
    cancel text,                            -- why its worker is to cancel it
    lost integer NOT NULL DEFAULT 0,        -- workers that have ended while they had it
    sequence integer NOT NULL DEFAULT -1,   -- of the present state
    ended bigint                            -- NULL before
);

CREATE INDEX jobs_ready ON jobs (key, id) WHERE worker IS NULL AND ended IS NULL AND awaits = 0;
CREATE INDEX jobs_held ON jobs (worker) WHERE worker IS NOT NULL;
CREATE INDEX jobs_ended ON jobs (ended) WHERE ended IS NOT NULL;

-- The arguments of runs that have not ended.
CREATE TABLE calls (
    job uuid PRIMARY KEY,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL
);

CREATE TABLE states (
    job uuid NOT NULL,
    sequence integer NOT NULL,
    type text NOT NULL,
    name text NOT NULL,
    message text,
    at bigint NOT NULL,
    cause text NOT NULL,
    details text,                           -- a JSON object; NULL for none
    PRIMARY KEY (job, sequence)
);

-- What the last state of a run holds; no row for nothing.
CREATE TABLE results (
    job uuid PRIMARY KEY,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL,
    stored text                             -- the key that the result lies under in the task's storage, if not here
);

-- Which run waits for the end of which.
CREATE TABLE waits (
    awaited uuid NOT NULL,
    job uuid NOT NULL,
    PRIMARY KEY (awaited, job)
);
