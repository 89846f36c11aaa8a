-- Flow runs that have been removed, of which task runs are left to be removed; and where flow runs are looked for by
-- state and by name.

CREATE TABLE removals (
    run BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE INDEX flow_runs_in ON flow_runs (type, id);
CREATE INDEX flow_runs_named ON flow_runs (name, id);
