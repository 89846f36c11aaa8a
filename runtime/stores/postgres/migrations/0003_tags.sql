-- Flow runs by their tags, so that a rare one is found without a look at all runs. Task runs are looked for inside of their
-- flow runs, and have no such rows.

CREATE TABLE flow_run_tags (
    tag text NOT NULL,
    run uuid NOT NULL,
    PRIMARY KEY (tag, run)
);

INSERT INTO flow_run_tags
SELECT DISTINCT t.tag, r.id FROM flow_runs r, json_array_elements_text(r.tags::json) AS t (tag) WHERE r.tags IS NOT NULL;

-- The names are those of the table's own schema, whatever the connection has put first.
CREATE FUNCTION flow_run_tagged() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO flow_run_tags SELECT value, new.id FROM json_array_elements_text(new.tags::json) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION flow_run_untagged() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM flow_run_tags
    WHERE run = old.id AND tag IN (SELECT value FROM json_array_elements_text(old.tags::json));
    RETURN NULL;
END $$;

CREATE TRIGGER flow_run_tagged AFTER INSERT ON flow_runs
FOR EACH ROW WHEN (new.tags IS NOT NULL) EXECUTE FUNCTION flow_run_tagged();

CREATE TRIGGER flow_run_untagged AFTER DELETE ON flow_runs
FOR EACH ROW WHEN (old.tags IS NOT NULL) EXECUTE FUNCTION flow_run_untagged();
