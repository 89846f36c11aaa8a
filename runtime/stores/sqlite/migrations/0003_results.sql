-- Results by the id of their run alone: a row is found, and written, in one tree instead of two.

CREATE TABLE results_by_run (
    run BLOB PRIMARY KEY,
    tag TEXT NOT NULL,
    blob BLOB,
    missing TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO results_by_run SELECT run, tag, blob, missing FROM results;
DROP TABLE results;
ALTER TABLE results_by_run RENAME TO results;
