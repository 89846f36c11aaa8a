-- A task run that begins and ends within one group of records is one row: with the states that it came with, with what it
-- came to, and with the call of its flow's body that made it. What later groups say of its states stands in `states`.
--
-- Most task runs are numbered from the id of their flow run, so they lie side by side; others are found by an index.

CREATE TABLE task_run_rows (
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
    undone INTEGER NOT NULL DEFAULT 0,      -- it was rolled back
    called TEXT,                            -- attempt, position, path, place and marks of its call, as JSON; NULL: see `calls`
    first_states TEXT NOT NULL,             -- type, at, cause, name, message and details of each, from 0, as JSON
    tag TEXT,                               -- what the present state holds; NULL for nothing
    missing TEXT,
    blob BLOB
) STRICT, WITHOUT ROWID;

INSERT INTO task_run_rows
SELECT r.id, r.flow_run, r.task, r.name, r.key, r.parent, r.tags, r.inputs, r.created, r.started, r.ended, r.attempts,
    r.sequence, r.type, r.undone, NULL, '', d.tag, d.missing, d.blob
FROM task_runs r LEFT JOIN results d ON d.run = r.id;
DELETE FROM results WHERE run IN (SELECT id FROM task_runs);
DROP TABLE task_runs;
ALTER TABLE task_run_rows RENAME TO task_runs;

CREATE INDEX task_runs_alive ON task_runs (id) WHERE ended IS NULL;
CREATE INDEX task_runs_loose ON task_runs (id) WHERE flow_run IS NULL;
CREATE INDEX task_runs_elsewhere ON task_runs (flow_run, id) WHERE substr(id, 1, 12) <> substr(flow_run, 1, 12);

-- For those who look into the file.
CREATE VIEW all_states AS
SELECT r.id AS run, s.key AS sequence, json_extract(s.value, '$[0]') AS type, json_extract(s.value, '$[3]') AS name,
    json_extract(s.value, '$[4]') AS message, json_extract(s.value, '$[1]') AS at, json_extract(s.value, '$[2]') AS cause,
    json_extract(s.value, '$[5]') AS details
FROM task_runs r, json_each('[' || r.first_states || ']') s
UNION ALL
SELECT run, sequence, type, name, message, at, cause, details FROM states;

ALTER TABLE owners DROP COLUMN groups;      -- its process knows
