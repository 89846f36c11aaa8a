-- Runs, their states, what flows have called, who writes and has written all that, and what owners are asked to do.
--
-- Times are nanoseconds since the epoch. A column of a run that could be taken from its last state is there because it is
-- looked for. Names are looked up in the schema of the store, which the connection has put first.

CREATE TABLE owners (
    token integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    opened bigint NOT NULL,
    session integer NOT NULL,               -- the server's process that holds its lock
    ended bigint,                           -- NULL while nobody has found it to be over
    groups bigint NOT NULL DEFAULT 0        -- so many have been written
);

CREATE TABLE flow_runs (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    flow text NOT NULL,
    version text,
    parent uuid,
    parent_task_run uuid,
    file text NOT NULL,
    module text NOT NULL,
    function text NOT NULL,
    tags text,                              -- a JSON array; NULL for none
    owner integer NOT NULL,
    deaths integer NOT NULL DEFAULT 0,
    created bigint NOT NULL,
    started bigint,
    ended bigint,                           -- NULL while somebody is expected to end it
    attempts bigint NOT NULL,
    sequence bigint NOT NULL,               -- of the present state
    type text NOT NULL,                     -- of the present state
    suspended boolean NOT NULL              -- nobody runs it, until it is resumed
);

CREATE INDEX flow_runs_inside ON flow_runs (parent) WHERE parent IS NOT NULL;
CREATE INDEX flow_runs_alive ON flow_runs (owner) WHERE ended IS NULL;
CREATE INDEX flow_runs_of ON flow_runs (flow, id);
CREATE INDEX flow_runs_in ON flow_runs (type, id);
CREATE INDEX flow_runs_named ON flow_runs (name, id);

CREATE TABLE parameters (
    flow_run uuid NOT NULL,
    position bigint NOT NULL,
    name text NOT NULL,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL,
    PRIMARY KEY (flow_run, name)
);

CREATE TABLE task_runs (
    id uuid PRIMARY KEY,
    flow_run uuid,                          -- NULL outside of any
    task text NOT NULL,
    name text,                              -- NULL for the usual one
    key bigint NOT NULL,
    parent uuid,
    tags text,
    inputs text,                            -- a JSON object; NULL for none
    owner integer NOT NULL,
    created bigint NOT NULL,
    started bigint,
    ended bigint,
    attempts bigint NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    undone boolean NOT NULL DEFAULT false   -- it was rolled back
);

CREATE INDEX task_runs_inside ON task_runs (flow_run, id);
CREATE INDEX task_runs_alive ON task_runs (owner) WHERE ended IS NULL;

CREATE TABLE states (
    run uuid NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    name text,                              -- NULL for the usual one
    message text,
    at bigint NOT NULL,
    cause text NOT NULL,
    details text,                           -- a JSON object; NULL for none
    PRIMARY KEY (run, sequence)
);

-- What the present state of a run holds; no row for nothing.
CREATE TABLE results (
    run uuid PRIMARY KEY,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL
);

CREATE TABLE calls (
    flow_run uuid NOT NULL,
    attempt bigint NOT NULL,
    position bigint NOT NULL,
    path text NOT NULL,
    name text NOT NULL,
    place bigint NOT NULL,
    first uuid NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (flow_run, attempt, position)
);

CREATE TABLE answers (
    flow_run uuid NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    key text NOT NULL,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL,
    PRIMARY KEY (flow_run, key)
);

-- Rows as they are sent, of the tables that most rows go to.
CREATE TYPE sent_task_runs AS (
    id uuid, flow_run uuid, task text, name text, key bigint, parent uuid, tags text, inputs text, created bigint,
    started bigint, ended bigint, attempts bigint, sequence bigint, type text
);
CREATE TYPE sent_states AS (
    run uuid, sequence bigint, type text, name text, message text, at bigint, cause text, details text
);
CREATE TYPE sent_results AS (run uuid, tag text, blob bytea, missing text);

-- Flow runs that have been removed, of which task runs are left to be removed.
CREATE TABLE removals (
    run uuid PRIMARY KEY
);

-- What owners are asked to do. Who asks puts a row here, is told of the answer, and takes the row away.
CREATE UNLOGGED TABLE requests (
    id uuid PRIMARY KEY,
    owner integer NOT NULL,
    asker text NOT NULL,                    -- the channel on which the answer is told
    line bytea NOT NULL,
    taken boolean NOT NULL DEFAULT false,
    answer bytea
);

CREATE INDEX requests_of ON requests (owner);
