-- Flow runs by their tags, so that a rare one is found without a look at all runs. Task runs are looked for inside of their
-- flow runs, and have no such rows.

CREATE TABLE flow_run_tags (
    tag TEXT NOT NULL,
    run BLOB NOT NULL,
    PRIMARY KEY (tag, run)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO flow_run_tags SELECT t.value, r.id FROM flow_runs r, json_each(r.tags) t WHERE r.tags IS NOT NULL;

CREATE TRIGGER flow_run_tagged AFTER INSERT ON flow_runs WHEN new.tags IS NOT NULL BEGIN
    INSERT OR IGNORE INTO flow_run_tags SELECT value, new.id FROM json_each(new.tags);
END;

CREATE TRIGGER flow_run_untagged AFTER DELETE ON flow_runs WHEN old.tags IS NOT NULL BEGIN
    DELETE FROM flow_run_tags WHERE run = old.id AND tag IN (SELECT value FROM json_each(old.tags));
END;
