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
    count bigint NOT NULL
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
INSERT INTO golden.calls VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 0, 0, '', 'number', 0, '01a22a00-4c91-754e-9bde-b7a900000001', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 0, 1, '', 'number', 1, '01a22a00-4c91-754e-9bde-b7a900000002', 2);
INSERT INTO golden.calls VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 0, 2, '', 'flow inside', 0, '01a22a00-4cc2-7cfa-b449-791f00000000', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 0, 0, '', 'number', 0, '01a22a00-4cc2-7cfa-b449-791f00000001', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 0, 1, '', 'number', 1, '01a22a00-4cc2-7cfa-b449-791f00000002', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 0, 3, '', 'last', 0, '01a22a00-4c91-754e-9bde-b7a900000005', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4cd0-75d3-a521-d69400000000', 0, 0, '', 'prepare', 0, '01a22a00-4cd0-75d3-a521-d69400000001', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 0, 0, '', 'number', 0, '01a22a00-4fb2-7534-91bc-6d3000000001', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 0, 1, '', 'number', 1, '01a22a00-4fb2-7534-91bc-6d3000000002', 2);
INSERT INTO golden.calls VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 0, 2, '', 'flow inside', 0, '01a22a00-4fc7-7ab7-ba4d-561100000000', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 0, 0, '', 'number', 0, '01a22a00-4fc7-7ab7-ba4d-561100000001', 1);
INSERT INTO golden.calls VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 0, 1, '', 'number', 1, '01a22a00-4fc7-7ab7-ba4d-561100000002', 1);
INSERT INTO golden.flow_runs VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 'silent-bison', 'inside', NULL, '01a22a00-4c91-754e-9bde-b7a900000000', '01a22a00-4c91-754e-9bde-b7a900000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 1, 0, 1796000992450331005, 1796000992450738576, 1796000992454328000, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 'stout-swift', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 1, 0, 1796000992401953807, 1796000992410043795, 1796000992458717333, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22a00-4ccc-76f1-a0c0-dc8500000000', 'sunny-swan', 'doubled', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'doubled', NULL, 1, 0, 1796000992460955698, 1796000992461223584, 1796000992461587756, 1, 2, 'FAILED', false);
INSERT INTO golden.flow_runs VALUES ('01a22a00-4cd0-75d3-a521-d69400000000', 'tidy-badger', 'approved', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'approved', NULL, 1, 0, 1796000992464403246, 1796000992464633577, NULL, 1, 2, 'PAUSED', true);
INSERT INTO golden.flow_runs VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 'snug-bison', 'inside', NULL, '01a22a00-4fb2-7534-91bc-6d3000000000', '01a22a00-4fb2-7534-91bc-6d3000000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 2, 0, 1796000993223849468, 1796000993224121697, 1796000993231142972, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 'sharp-harrier', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 2, 1, 1796000993202185096, 1796000993205163675, 1796000993235571559, 1, 2, 'CRASHED', false);
INSERT INTO golden.millrace_schema VALUES (1);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (1, 'process 23532 on vm', 1796000992227690363, 25076, 1796000993123205293, 10);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (3, 'process 23532 on vm', 1796000993235571559, 25385, NULL, 0);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (2, 'process 25164 on vm', 1796000993123205293, 25347, 1796000993235571559, 5);
INSERT INTO golden.parameters VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 1, 'first', 'pickle', '\x80054b012e', '');
INSERT INTO golden.parameters VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a22a00-4ccc-76f1-a0c0-dc8500000000', 1, 'number', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a22a00-4ccc-76f1-a0c0-dc8500000000', 2, 'wrong', 'pickle', '\x8005882e', '');
INSERT INTO golden.parameters VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 1, 'first', 'pickle', '\x80054b052e', '');
INSERT INTO golden.parameters VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.results VALUES ('01a22a00-4c91-754e-9bde-b7a900000001', 'pickle', '\x80054b0a2e', '');
INSERT INTO golden.results VALUES ('01a22a00-4c91-754e-9bde-b7a900000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a22a00-4c91-754e-9bde-b7a900000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a22a00-4cc2-7cfa-b449-791f00000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a22a00-4cc2-7cfa-b449-791f00000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.results VALUES ('01a22a00-4c91-754e-9bde-b7a900000005', 'pickle', '\x80054b072e', '');
INSERT INTO golden.results VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 'pickle', '\x80054b9d2e', '');
INSERT INTO golden.results VALUES ('01a22a00-4ccc-76f1-a0c0-dc8500000000', 'pickle', '\x80059528000000000000008c086275696c74696e73948c074f534572726f729493948c096469736b2066756c6c94859452942e', '');
INSERT INTO golden.results VALUES ('01a22a00-4fb2-7534-91bc-6d3000000001', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22a00-4fb2-7534-91bc-6d3000000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a22a00-4fb2-7534-91bc-6d3000000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 0, 'PENDING', NULL, NULL, 1796000992401953807, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 1, 'RUNNING', NULL, NULL, 1796000992410043795, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000001', 0, 'PENDING', NULL, NULL, 1796000992410729877, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000001', 1, 'RUNNING', NULL, NULL, 1796000992410799749, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000001', 2, 'COMPLETED', NULL, NULL, 1796000992410856683, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000003', 0, 'PENDING', NULL, NULL, 1796000992447405606, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000002', 0, 'PENDING', NULL, NULL, 1796000992447667513, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000002', 1, 'RUNNING', NULL, NULL, 1796000992447696995, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000002', 2, 'COMPLETED', NULL, NULL, 1796000992447740835, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000003', 1, 'RUNNING', NULL, NULL, 1796000992447812758, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000003', 2, 'COMPLETED', NULL, NULL, 1796000992447828231, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 0, 'PENDING', NULL, NULL, 1796000992450331005, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000004', 0, 'PENDING', NULL, NULL, 1796000992450331005, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 1, 'RUNNING', NULL, NULL, 1796000992450738576, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000004', 1, 'RUNNING', NULL, NULL, 1796000992450738576, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000001', 0, 'PENDING', NULL, NULL, 1796000992451205843, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000001', 1, 'RUNNING', NULL, NULL, 1796000992451239541, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000001', 2, 'COMPLETED', NULL, NULL, 1796000992451288117, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000002', 0, 'PENDING', NULL, NULL, 1796000992453143650, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000002', 1, 'RUNNING', NULL, NULL, 1796000992453171955, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000002', 2, 'COMPLETED', NULL, NULL, 1796000992453205864, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cc2-7cfa-b449-791f00000000', 2, 'COMPLETED', NULL, NULL, 1796000992454328000, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000004', 2, 'COMPLETED', NULL, NULL, 1796000992454328000, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000005', 0, 'PENDING', NULL, NULL, 1796000992457687206, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000005', 1, 'RUNNING', NULL, NULL, 1796000992457714616, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000005', 2, 'COMPLETED', NULL, NULL, 1796000992457746043, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4c91-754e-9bde-b7a900000000', 2, 'COMPLETED', NULL, NULL, 1796000992458717333, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4ccc-76f1-a0c0-dc8500000000', 0, 'PENDING', NULL, NULL, 1796000992460955698, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4ccc-76f1-a0c0-dc8500000000', 1, 'RUNNING', NULL, NULL, 1796000992461223584, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4ccc-76f1-a0c0-dc8500000000', 2, 'FAILED', NULL, 'OSError: disk full', 1796000992461587756, 'raised', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cd0-75d3-a521-d69400000000', 0, 'PENDING', NULL, NULL, 1796000992464403246, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cd0-75d3-a521-d69400000000', 1, 'RUNNING', NULL, NULL, 1796000992464633577, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cd0-75d3-a521-d69400000001', 0, 'PENDING', NULL, NULL, 1796000992464822690, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cd0-75d3-a521-d69400000001', 1, 'RUNNING', NULL, NULL, 1796000992464851479, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cd0-75d3-a521-d69400000001', 2, 'COMPLETED', NULL, NULL, 1796000992464874063, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4cd0-75d3-a521-d69400000000', 2, 'PAUSED', 'Suspended', NULL, 1796000992467197380, 'proposed', '{"pause_reschedule": true, "pause_key": "1"}');
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 0, 'PENDING', NULL, NULL, 1796000993202185096, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 1, 'RUNNING', NULL, NULL, 1796000993205163675, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000001', 0, 'PENDING', NULL, NULL, 1796000993205473677, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000001', 1, 'RUNNING', NULL, NULL, 1796000993205507577, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000001', 2, 'COMPLETED', NULL, NULL, 1796000993205534039, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000003', 0, 'PENDING', NULL, NULL, 1796000993217637047, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000002', 0, 'PENDING', NULL, NULL, 1796000993220997902, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000002', 1, 'RUNNING', NULL, NULL, 1796000993221050663, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000002', 2, 'COMPLETED', NULL, NULL, 1796000993221095458, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000003', 1, 'RUNNING', NULL, NULL, 1796000993221167027, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000003', 2, 'COMPLETED', NULL, NULL, 1796000993221190715, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 0, 'PENDING', NULL, NULL, 1796000993223849468, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000004', 0, 'PENDING', NULL, NULL, 1796000993223849468, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 1, 'RUNNING', NULL, NULL, 1796000993224121697, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000004', 1, 'RUNNING', NULL, NULL, 1796000993224121697, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000001', 0, 'PENDING', NULL, NULL, 1796000993224441621, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000001', 1, 'RUNNING', NULL, NULL, 1796000993224459208, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000001', 2, 'COMPLETED', NULL, NULL, 1796000993224479378, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000002', 0, 'PENDING', NULL, NULL, 1796000993230395359, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000002', 1, 'RUNNING', NULL, NULL, 1796000993230417866, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000002', 2, 'COMPLETED', NULL, NULL, 1796000993230447463, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000000', 2, 'COMPLETED', NULL, NULL, 1796000993231142972, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000004', 2, 'COMPLETED', NULL, NULL, 1796000993231142972, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22a00-4fb2-7534-91bc-6d3000000000', 2, 'CRASHED', NULL, 'The run was not ended by its process, process 25164 on vm, which is over.', 1796000993235571559, 'owner died', NULL);
INSERT INTO golden.task_runs VALUES ('01a22a00-4c91-754e-9bde-b7a900000001', '01a22a00-4c91-754e-9bde-b7a900000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796000992410729877, 1796000992410799749, 1796000992410856683, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4c91-754e-9bde-b7a900000003', '01a22a00-4c91-754e-9bde-b7a900000000', 'number', NULL, 2, NULL, NULL, NULL, 1, 1796000992447405606, 1796000992447812758, 1796000992447828231, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4c91-754e-9bde-b7a900000002', '01a22a00-4c91-754e-9bde-b7a900000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796000992447667513, 1796000992447696995, 1796000992447740835, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4cc2-7cfa-b449-791f00000001', '01a22a00-4cc2-7cfa-b449-791f00000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796000992451205843, 1796000992451239541, 1796000992451288117, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4cc2-7cfa-b449-791f00000002', '01a22a00-4cc2-7cfa-b449-791f00000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796000992453143650, 1796000992453171955, 1796000992453205864, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4c91-754e-9bde-b7a900000004', '01a22a00-4c91-754e-9bde-b7a900000000', 'inside', NULL, 0, NULL, NULL, NULL, 1, 1796000992450331005, 1796000992450738576, 1796000992454328000, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4c91-754e-9bde-b7a900000005', '01a22a00-4c91-754e-9bde-b7a900000000', 'last', NULL, 0, NULL, NULL, NULL, 1, 1796000992457687206, 1796000992457714616, 1796000992457746043, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4cd0-75d3-a521-d69400000001', '01a22a00-4cd0-75d3-a521-d69400000000', 'prepare', NULL, 0, NULL, NULL, NULL, 1, 1796000992464822690, 1796000992464851479, 1796000992464874063, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4fb2-7534-91bc-6d3000000001', '01a22a00-4fb2-7534-91bc-6d3000000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796000993205473677, 1796000993205507577, 1796000993205534039, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4fb2-7534-91bc-6d3000000003', '01a22a00-4fb2-7534-91bc-6d3000000000', 'number', NULL, 2, NULL, NULL, NULL, 2, 1796000993217637047, 1796000993221167027, 1796000993221190715, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4fb2-7534-91bc-6d3000000002', '01a22a00-4fb2-7534-91bc-6d3000000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796000993220997902, 1796000993221050663, 1796000993221095458, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000001', '01a22a00-4fc7-7ab7-ba4d-561100000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796000993224441621, 1796000993224459208, 1796000993224479378, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4fc7-7ab7-ba4d-561100000002', '01a22a00-4fc7-7ab7-ba4d-561100000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796000993230395359, 1796000993230417866, 1796000993230447463, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22a00-4fb2-7534-91bc-6d3000000004', '01a22a00-4fb2-7534-91bc-6d3000000000', 'inside', NULL, 0, NULL, NULL, NULL, 2, 1796000993223849468, 1796000993224121697, 1796000993231142972, 1, 2, 'COMPLETED', false);
SELECT pg_catalog.setval('golden.answers_number_seq', 1, false);
SELECT pg_catalog.setval('golden.owners_token_seq', 3, true);
ALTER TABLE ONLY golden.answers
    ADD CONSTRAINT answers_pkey PRIMARY KEY (flow_run, key);
ALTER TABLE ONLY golden.calls
    ADD CONSTRAINT calls_pkey PRIMARY KEY (flow_run, attempt, "position");
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
