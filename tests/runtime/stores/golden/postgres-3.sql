SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA golden;
CREATE TYPE golden.sent_results AS (
	run uuid,
	tag text,
	blob bytea,
	missing text
);
CREATE TYPE golden.sent_states AS (
	run uuid,
	sequence bigint,
	type text,
	name text,
	message text,
	at bigint,
	cause text,
	details text
);
CREATE TYPE golden.sent_task_runs AS (
	id uuid,
	flow_run uuid,
	task text,
	name text,
	key bigint,
	parent uuid,
	tags text,
	inputs text,
	created bigint,
	started bigint,
	ended bigint,
	attempts bigint,
	sequence bigint,
	type text
);
CREATE FUNCTION golden.flow_run_tagged() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'golden'
    AS $$
BEGIN
    INSERT INTO flow_run_tags SELECT value, new.id FROM json_array_elements_text(new.tags::json) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE FUNCTION golden.flow_run_untagged() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'golden'
    AS $$
BEGIN
    DELETE FROM flow_run_tags
    WHERE run = old.id AND tag IN (SELECT value FROM json_array_elements_text(old.tags::json));
    RETURN NULL;
END $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE golden.answers (
    flow_run uuid NOT NULL,
    number bigint NOT NULL,
    key text NOT NULL,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL
);
ALTER TABLE golden.answers ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME golden.answers_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE golden.calls (
    flow_run uuid NOT NULL,
    attempt bigint NOT NULL,
    "position" bigint NOT NULL,
    path text NOT NULL,
    name text NOT NULL,
    place bigint NOT NULL,
    first uuid NOT NULL,
    count bigint NOT NULL,
    marks bytea
);
CREATE TABLE golden.flow_run_tags (
    tag text NOT NULL,
    run uuid NOT NULL
);
CREATE TABLE golden.flow_runs (
    id uuid NOT NULL,
    name text NOT NULL,
    flow text NOT NULL,
    version text,
    parent uuid,
    parent_task_run uuid,
    file text NOT NULL,
    module text NOT NULL,
    function text NOT NULL,
    tags text,
    owner integer NOT NULL,
    deaths integer DEFAULT 0 NOT NULL,
    created bigint NOT NULL,
    started bigint,
    ended bigint,
    attempts bigint NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    suspended boolean NOT NULL
);
CREATE TABLE golden.millrace_schema (
    version integer NOT NULL
);
CREATE TABLE golden.owners (
    token integer NOT NULL,
    name text NOT NULL,
    opened bigint NOT NULL,
    session integer NOT NULL,
    ended bigint,
    groups bigint DEFAULT 0 NOT NULL
);
ALTER TABLE golden.owners ALTER COLUMN token ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME golden.owners_token_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE golden.parameters (
    flow_run uuid NOT NULL,
    "position" bigint NOT NULL,
    name text NOT NULL,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL
);
CREATE TABLE golden.removals (
    run uuid NOT NULL
);
CREATE UNLOGGED TABLE golden.requests (
    id uuid NOT NULL,
    owner integer NOT NULL,
    asker text NOT NULL,
    line bytea NOT NULL,
    taken boolean DEFAULT false NOT NULL,
    answer bytea
);
CREATE TABLE golden.results (
    run uuid NOT NULL,
    tag text NOT NULL,
    blob bytea,
    missing text NOT NULL
);
CREATE TABLE golden.states (
    run uuid NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    name text,
    message text,
    at bigint NOT NULL,
    cause text NOT NULL,
    details text
);
CREATE TABLE golden.task_runs (
    id uuid NOT NULL,
    flow_run uuid,
    task text NOT NULL,
    name text,
    key bigint NOT NULL,
    parent uuid,
    tags text,
    inputs text,
    owner integer NOT NULL,
    created bigint NOT NULL,
    started bigint,
    ended bigint,
    attempts bigint NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    undone boolean DEFAULT false NOT NULL
);
INSERT INTO golden.calls VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 0, 0, '', 'number', 0, '01a22c61-5e3e-7860-975c-56a700000001', 1, '\x83dcefb7');
INSERT INTO golden.calls VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 0, 1, '', 'number', 1, '01a22c61-5e3e-7860-975c-56a700000002', 2, '\x1ad5be0d6dd28e9b');
INSERT INTO golden.calls VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 0, 2, '', 'flow inside', 0, '01a22c61-5e55-78a8-ba91-f83800000000', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 0, 0, '', 'number', 0, '01a22c61-5e55-78a8-ba91-f83800000001', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 0, 1, '', 'number', 1, '01a22c61-5e55-78a8-ba91-f83800000002', 1, '\x84b12bae');
INSERT INTO golden.calls VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 0, 3, '', 'last', 0, '01a22c61-5e3e-7860-975c-56a700000005', 1, NULL);
INSERT INTO golden.calls VALUES ('01a22c61-5e5f-7101-8856-933d00000000', 0, 0, '', 'prepare', 0, '01a22c61-5e5f-7101-8856-933d00000001', 1, NULL);
INSERT INTO golden.calls VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 0, 0, '', 'number', 0, '01a22c61-60fe-747d-981c-a0fd00000001', 1, '\x84b12bae');
INSERT INTO golden.calls VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 0, 1, '', 'number', 1, '01a22c61-60fe-747d-981c-a0fd00000002', 2, '\x1ad5be0d6dd28e9b');
INSERT INTO golden.calls VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 0, 2, '', 'flow inside', 0, '01a22c61-611b-7498-85df-40e300000000', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22c61-611b-7498-85df-40e300000000', 0, 0, '', 'number', 0, '01a22c61-611b-7498-85df-40e300000001', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22c61-611b-7498-85df-40e300000000', 0, 1, '', 'number', 1, '01a22c61-611b-7498-85df-40e300000002', 1, '\x84b12bae');
INSERT INTO golden.flow_runs VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 'noble-magpie', 'inside', NULL, '01a22c61-5e3e-7860-975c-56a700000000', '01a22c61-5e3e-7860-975c-56a700000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 1, 0, 1796040908373690743, 1796040908374101174, 1796040908376790818, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 'ample-gecko', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 1, 0, 1796040908351014702, 1796040908353990792, 1796040908379930501, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22c61-5e5d-7fec-9805-0a0e00000000', 'sage-kite', 'doubled', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'doubled', NULL, 1, 0, 1796040908381362873, 1796040908381580817, 1796040908381933242, 1, 2, 'FAILED', false);
INSERT INTO golden.flow_runs VALUES ('01a22c61-5e5f-7101-8856-933d00000000', 'plucky-weasel', 'approved', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'approved', NULL, 1, 0, 1796040908383728443, 1796040908383907420, NULL, 1, 2, 'PAUSED', true);
INSERT INTO golden.flow_runs VALUES ('01a22c61-611b-7498-85df-40e300000000', 'warm-crane', 'inside', NULL, '01a22c61-60fe-747d-981c-a0fd00000000', '01a22c61-60fe-747d-981c-a0fd00000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 2, 0, 1796040909083978024, 1796040909084244631, 1796040909086240051, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 'sage-lynx', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 2, 1, 1796040909054628170, 1796040909056747695, 1796040909093144636, 1, 2, 'CRASHED', false);
INSERT INTO golden.millrace_schema VALUES (3);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (1, 'process 7918 on vm', 1796040908249963087, 8815, 1796040908971586150, 10);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (3, 'process 7918 on vm', 1796040909093144636, 8831, NULL, 0);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (2, 'process 8820 on vm', 1796040908971586150, 8825, 1796040909093144636, 5);
INSERT INTO golden.parameters VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 1, 'first', 'pickle', '\x80054b012e', '');
INSERT INTO golden.parameters VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a22c61-5e5d-7fec-9805-0a0e00000000', 1, 'number', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a22c61-5e5d-7fec-9805-0a0e00000000', 2, 'wrong', 'pickle', '\x8005882e', '');
INSERT INTO golden.parameters VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 1, 'first', 'pickle', '\x80054b052e', '');
INSERT INTO golden.parameters VALUES ('01a22c61-611b-7498-85df-40e300000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e3e-7860-975c-56a700000001', 'pickle', '\x80054b0a2e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e3e-7860-975c-56a700000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e3e-7860-975c-56a700000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e55-78a8-ba91-f83800000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e55-78a8-ba91-f83800000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e3e-7860-975c-56a700000005', 'pickle', '\x80054b072e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 'pickle', '\x80054b9d2e', '');
INSERT INTO golden.results VALUES ('01a22c61-5e5d-7fec-9805-0a0e00000000', 'pickle', '\x80059528000000000000008c086275696c74696e73948c074f534572726f729493948c096469736b2066756c6c94859452942e', '');
INSERT INTO golden.results VALUES ('01a22c61-60fe-747d-981c-a0fd00000001', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22c61-60fe-747d-981c-a0fd00000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a22c61-60fe-747d-981c-a0fd00000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a22c61-611b-7498-85df-40e300000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a22c61-611b-7498-85df-40e300000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22c61-611b-7498-85df-40e300000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 0, 'PENDING', NULL, NULL, 1796040908351014702, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 1, 'RUNNING', NULL, NULL, 1796040908353990792, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000001', 0, 'PENDING', NULL, NULL, 1796040908354651666, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000001', 1, 'RUNNING', NULL, NULL, 1796040908354726868, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000001', 2, 'COMPLETED', NULL, NULL, 1796040908354774268, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000003', 0, 'PENDING', NULL, NULL, 1796040908371265143, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000002', 0, 'PENDING', NULL, NULL, 1796040908371611419, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000002', 1, 'RUNNING', NULL, NULL, 1796040908371649155, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000002', 2, 'COMPLETED', NULL, NULL, 1796040908371688493, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000003', 1, 'RUNNING', NULL, NULL, 1796040908371748613, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000003', 2, 'COMPLETED', NULL, NULL, 1796040908371762163, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 0, 'PENDING', NULL, NULL, 1796040908373690743, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000004', 0, 'PENDING', NULL, NULL, 1796040908373690743, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 1, 'RUNNING', NULL, NULL, 1796040908374101174, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000004', 1, 'RUNNING', NULL, NULL, 1796040908374101174, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000001', 0, 'PENDING', NULL, NULL, 1796040908374554599, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000001', 1, 'RUNNING', NULL, NULL, 1796040908374575901, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000001', 2, 'COMPLETED', NULL, NULL, 1796040908374593777, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000002', 0, 'PENDING', NULL, NULL, 1796040908375982935, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000002', 1, 'RUNNING', NULL, NULL, 1796040908376005689, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000002', 2, 'COMPLETED', NULL, NULL, 1796040908376026350, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e55-78a8-ba91-f83800000000', 2, 'COMPLETED', NULL, NULL, 1796040908376790818, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000004', 2, 'COMPLETED', NULL, NULL, 1796040908376790818, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000005', 0, 'PENDING', NULL, NULL, 1796040908379225822, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000005', 1, 'RUNNING', NULL, NULL, 1796040908379259472, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000005', 2, 'COMPLETED', NULL, NULL, 1796040908379281775, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e3e-7860-975c-56a700000000', 2, 'COMPLETED', NULL, NULL, 1796040908379930501, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5d-7fec-9805-0a0e00000000', 0, 'PENDING', NULL, NULL, 1796040908381362873, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5d-7fec-9805-0a0e00000000', 1, 'RUNNING', NULL, NULL, 1796040908381580817, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5d-7fec-9805-0a0e00000000', 2, 'FAILED', NULL, 'OSError: disk full', 1796040908381933242, 'raised', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5f-7101-8856-933d00000000', 0, 'PENDING', NULL, NULL, 1796040908383728443, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5f-7101-8856-933d00000000', 1, 'RUNNING', NULL, NULL, 1796040908383907420, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5f-7101-8856-933d00000001', 0, 'PENDING', NULL, NULL, 1796040908384098364, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5f-7101-8856-933d00000001', 1, 'RUNNING', NULL, NULL, 1796040908384130131, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5f-7101-8856-933d00000001', 2, 'COMPLETED', NULL, NULL, 1796040908384148348, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-5e5f-7101-8856-933d00000000', 2, 'PAUSED', 'Suspended', NULL, 1796040908386357937, 'proposed', '{"pause_reschedule": true, "pause_key": "1"}');
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 0, 'PENDING', NULL, NULL, 1796040909054628170, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 1, 'RUNNING', NULL, NULL, 1796040909056747695, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000001', 0, 'PENDING', NULL, NULL, 1796040909057080900, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000001', 1, 'RUNNING', NULL, NULL, 1796040909057119338, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000001', 2, 'COMPLETED', NULL, NULL, 1796040909057139928, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000003', 0, 'PENDING', NULL, NULL, 1796040909079740237, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000002', 0, 'PENDING', NULL, NULL, 1796040909081903756, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000002', 1, 'RUNNING', NULL, NULL, 1796040909081948192, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000002', 2, 'COMPLETED', NULL, NULL, 1796040909081986549, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000003', 1, 'RUNNING', NULL, NULL, 1796040909082039618, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000003', 2, 'COMPLETED', NULL, NULL, 1796040909082048642, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000000', 0, 'PENDING', NULL, NULL, 1796040909083978024, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000004', 0, 'PENDING', NULL, NULL, 1796040909083978024, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000000', 1, 'RUNNING', NULL, NULL, 1796040909084244631, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000004', 1, 'RUNNING', NULL, NULL, 1796040909084244631, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000001', 0, 'PENDING', NULL, NULL, 1796040909084496616, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000001', 1, 'RUNNING', NULL, NULL, 1796040909084514102, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000001', 2, 'COMPLETED', NULL, NULL, 1796040909084530306, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000002', 0, 'PENDING', NULL, NULL, 1796040909085568672, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000002', 1, 'RUNNING', NULL, NULL, 1796040909085583464, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000002', 2, 'COMPLETED', NULL, NULL, 1796040909085597254, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-611b-7498-85df-40e300000000', 2, 'COMPLETED', NULL, NULL, 1796040909086240051, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000004', 2, 'COMPLETED', NULL, NULL, 1796040909086240051, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22c61-60fe-747d-981c-a0fd00000000', 2, 'CRASHED', NULL, 'The run was not ended by its process, process 8820 on vm, which is over.', 1796040909093144636, 'owner died', NULL);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e3e-7860-975c-56a700000001', '01a22c61-5e3e-7860-975c-56a700000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796040908354651666, 1796040908354726868, 1796040908354774268, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e3e-7860-975c-56a700000003', '01a22c61-5e3e-7860-975c-56a700000000', 'number', NULL, 2, NULL, NULL, NULL, 1, 1796040908371265143, 1796040908371748613, 1796040908371762163, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e3e-7860-975c-56a700000002', '01a22c61-5e3e-7860-975c-56a700000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796040908371611419, 1796040908371649155, 1796040908371688493, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e55-78a8-ba91-f83800000001', '01a22c61-5e55-78a8-ba91-f83800000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796040908374554599, 1796040908374575901, 1796040908374593777, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e55-78a8-ba91-f83800000002', '01a22c61-5e55-78a8-ba91-f83800000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796040908375982935, 1796040908376005689, 1796040908376026350, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e3e-7860-975c-56a700000004', '01a22c61-5e3e-7860-975c-56a700000000', 'inside', NULL, 0, NULL, NULL, NULL, 1, 1796040908373690743, 1796040908374101174, 1796040908376790818, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e3e-7860-975c-56a700000005', '01a22c61-5e3e-7860-975c-56a700000000', 'last', NULL, 0, NULL, NULL, NULL, 1, 1796040908379225822, 1796040908379259472, 1796040908379281775, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-5e5f-7101-8856-933d00000001', '01a22c61-5e5f-7101-8856-933d00000000', 'prepare', NULL, 0, NULL, NULL, NULL, 1, 1796040908384098364, 1796040908384130131, 1796040908384148348, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-60fe-747d-981c-a0fd00000001', '01a22c61-60fe-747d-981c-a0fd00000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796040909057080900, 1796040909057119338, 1796040909057139928, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-60fe-747d-981c-a0fd00000003', '01a22c61-60fe-747d-981c-a0fd00000000', 'number', NULL, 2, NULL, NULL, NULL, 2, 1796040909079740237, 1796040909082039618, 1796040909082048642, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-60fe-747d-981c-a0fd00000002', '01a22c61-60fe-747d-981c-a0fd00000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796040909081903756, 1796040909081948192, 1796040909081986549, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-611b-7498-85df-40e300000001', '01a22c61-611b-7498-85df-40e300000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796040909084496616, 1796040909084514102, 1796040909084530306, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-611b-7498-85df-40e300000002', '01a22c61-611b-7498-85df-40e300000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796040909085568672, 1796040909085583464, 1796040909085597254, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22c61-60fe-747d-981c-a0fd00000004', '01a22c61-60fe-747d-981c-a0fd00000000', 'inside', NULL, 0, NULL, NULL, NULL, 2, 1796040909083978024, 1796040909084244631, 1796040909086240051, 1, 2, 'COMPLETED', false);
SELECT pg_catalog.setval('golden.answers_number_seq', 1, false);
SELECT pg_catalog.setval('golden.owners_token_seq', 3, true);
ALTER TABLE ONLY golden.answers
    ADD CONSTRAINT answers_pkey PRIMARY KEY (flow_run, key);
ALTER TABLE ONLY golden.calls
    ADD CONSTRAINT calls_pkey PRIMARY KEY (flow_run, attempt, "position");
ALTER TABLE ONLY golden.flow_run_tags
    ADD CONSTRAINT flow_run_tags_pkey PRIMARY KEY (tag, run);
ALTER TABLE ONLY golden.flow_runs
    ADD CONSTRAINT flow_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY golden.owners
    ADD CONSTRAINT owners_pkey PRIMARY KEY (token);
ALTER TABLE ONLY golden.parameters
    ADD CONSTRAINT parameters_pkey PRIMARY KEY (flow_run, name);
ALTER TABLE ONLY golden.removals
    ADD CONSTRAINT removals_pkey PRIMARY KEY (run);
ALTER TABLE ONLY golden.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY golden.results
    ADD CONSTRAINT results_pkey PRIMARY KEY (run);
ALTER TABLE ONLY golden.states
    ADD CONSTRAINT states_pkey PRIMARY KEY (run, sequence);
ALTER TABLE ONLY golden.task_runs
    ADD CONSTRAINT task_runs_pkey PRIMARY KEY (id);
CREATE INDEX flow_runs_alive ON golden.flow_runs USING btree (owner) WHERE (ended IS NULL);
CREATE INDEX flow_runs_in ON golden.flow_runs USING btree (type, id);
CREATE INDEX flow_runs_inside ON golden.flow_runs USING btree (parent) WHERE (parent IS NOT NULL);
CREATE INDEX flow_runs_named ON golden.flow_runs USING btree (name, id);
CREATE INDEX flow_runs_of ON golden.flow_runs USING btree (flow, id);
CREATE INDEX requests_of ON golden.requests USING btree (owner);
CREATE INDEX task_runs_alive ON golden.task_runs USING btree (owner) WHERE (ended IS NULL);
CREATE INDEX task_runs_inside ON golden.task_runs USING btree (flow_run, id);
CREATE TRIGGER flow_run_tagged AFTER INSERT ON golden.flow_runs FOR EACH ROW WHEN ((new.tags IS NOT NULL)) EXECUTE FUNCTION golden.flow_run_tagged();
CREATE TRIGGER flow_run_untagged AFTER DELETE ON golden.flow_runs FOR EACH ROW WHEN ((old.tags IS NOT NULL)) EXECUTE FUNCTION golden.flow_run_untagged();
