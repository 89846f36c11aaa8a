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
    count bigint NOT NULL,
    marks bytea
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
INSERT INTO golden.calls VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 0, 0, '', 'number', 0, '01a22b27-f842-7d02-8b6c-40a300000001', 1, '\x83dcefb7');
INSERT INTO golden.calls VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 0, 1, '', 'number', 1, '01a22b27-f842-7d02-8b6c-40a300000002', 2, '\x1ad5be0d6dd28e9b');
INSERT INTO golden.calls VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 0, 2, '', 'flow inside', 0, '01a22b27-f861-7c6b-b50c-dc0000000000', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 0, 0, '', 'number', 0, '01a22b27-f861-7c6b-b50c-dc0000000001', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 0, 1, '', 'number', 1, '01a22b27-f861-7c6b-b50c-dc0000000002', 1, '\x84b12bae');
INSERT INTO golden.calls VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 0, 3, '', 'last', 0, '01a22b27-f842-7d02-8b6c-40a300000005', 1, NULL);
INSERT INTO golden.calls VALUES ('01a22b27-f86b-7c6c-a2ba-849800000000', 0, 0, '', 'prepare', 0, '01a22b27-f86b-7c6c-a2ba-849800000001', 1, NULL);
INSERT INTO golden.calls VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 0, 0, '', 'number', 0, '01a22b27-fa36-714f-86b9-4bec00000001', 1, '\x84b12bae');
INSERT INTO golden.calls VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 0, 1, '', 'number', 1, '01a22b27-fa36-714f-86b9-4bec00000002', 2, '\x1ad5be0d6dd28e9b');
INSERT INTO golden.calls VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 0, 2, '', 'flow inside', 0, '01a22b27-fa45-7075-827f-40ca00000000', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 0, 0, '', 'number', 0, '01a22b27-fa45-7075-827f-40ca00000001', 1, '\xf3b61b38');
INSERT INTO golden.calls VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 0, 1, '', 'number', 1, '01a22b27-fa45-7075-827f-40ca00000002', 1, '\x84b12bae');
INSERT INTO golden.flow_runs VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 'amber-bear', 'inside', NULL, '01a22b27-f842-7d02-8b6c-40a300000000', '01a22b27-f842-7d02-8b6c-40a300000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 1, 0, 1796020369505223663, 1796020369505595545, 1796020369508140872, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 'jolly-kestrel', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 1, 0, 1796020369474516391, 1796020369480282187, 1796020369511221093, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22b27-f869-7436-90a2-23df00000000', 'calm-jay', 'doubled', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'doubled', NULL, 1, 0, 1796020369513411954, 1796020369513579342, 1796020369513787571, 1, 2, 'FAILED', false);
INSERT INTO golden.flow_runs VALUES ('01a22b27-f86b-7c6c-a2ba-849800000000', 'lucid-bear', 'approved', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'approved', NULL, 1, 0, 1796020369515316420, 1796020369515424931, NULL, 1, 2, 'PAUSED', true);
INSERT INTO golden.flow_runs VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 'fabled-marten', 'inside', NULL, '01a22b27-fa36-714f-86b9-4bec00000000', '01a22b27-fa36-714f-86b9-4bec00000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 2, 0, 1796020369989669135, 1796020369989920899, 1796020369993636232, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 'silent-dove', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 2, 1, 1796020369974221928, 1796020369975917284, 1796020370013199532, 1, 2, 'CRASHED', false);
INSERT INTO golden.millrace_schema VALUES (2);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (1, 'process 22392 on vm', 1796020369374381249, 22498, 1796020369941138976, 10);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (3, 'process 22392 on vm', 1796020370013199532, 22526, NULL, 0);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (2, 'process 22512 on vm', 1796020369941138976, 22520, 1796020370013199532, 5);
INSERT INTO golden.parameters VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 1, 'first', 'pickle', '\x80054b012e', '');
INSERT INTO golden.parameters VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a22b27-f869-7436-90a2-23df00000000', 1, 'number', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a22b27-f869-7436-90a2-23df00000000', 2, 'wrong', 'pickle', '\x8005882e', '');
INSERT INTO golden.parameters VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 1, 'first', 'pickle', '\x80054b052e', '');
INSERT INTO golden.parameters VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.results VALUES ('01a22b27-f842-7d02-8b6c-40a300000001', 'pickle', '\x80054b0a2e', '');
INSERT INTO golden.results VALUES ('01a22b27-f842-7d02-8b6c-40a300000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a22b27-f842-7d02-8b6c-40a300000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a22b27-f861-7c6b-b50c-dc0000000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a22b27-f861-7c6b-b50c-dc0000000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.results VALUES ('01a22b27-f842-7d02-8b6c-40a300000005', 'pickle', '\x80054b072e', '');
INSERT INTO golden.results VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 'pickle', '\x80054b9d2e', '');
INSERT INTO golden.results VALUES ('01a22b27-f869-7436-90a2-23df00000000', 'pickle', '\x80059528000000000000008c086275696c74696e73948c074f534572726f729493948c096469736b2066756c6c94859452942e', '');
INSERT INTO golden.results VALUES ('01a22b27-fa36-714f-86b9-4bec00000001', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22b27-fa36-714f-86b9-4bec00000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a22b27-fa36-714f-86b9-4bec00000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a22b27-fa45-7075-827f-40ca00000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a22b27-fa45-7075-827f-40ca00000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 0, 'PENDING', NULL, NULL, 1796020369474516391, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 1, 'RUNNING', NULL, NULL, 1796020369480282187, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000001', 0, 'PENDING', NULL, NULL, 1796020369480759485, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000001', 1, 'RUNNING', NULL, NULL, 1796020369480817932, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000001', 2, 'COMPLETED', NULL, NULL, 1796020369480845032, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000003', 0, 'PENDING', NULL, NULL, 1796020369501116058, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000002', 0, 'PENDING', NULL, NULL, 1796020369502629584, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000002', 1, 'RUNNING', NULL, NULL, 1796020369502716903, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000002', 2, 'COMPLETED', NULL, NULL, 1796020369502787578, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000003', 1, 'RUNNING', NULL, NULL, 1796020369502844723, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000003', 2, 'COMPLETED', NULL, NULL, 1796020369502854547, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 0, 'PENDING', NULL, NULL, 1796020369505223663, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000004', 0, 'PENDING', NULL, NULL, 1796020369505223663, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 1, 'RUNNING', NULL, NULL, 1796020369505595545, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000004', 1, 'RUNNING', NULL, NULL, 1796020369505595545, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000001', 0, 'PENDING', NULL, NULL, 1796020369505874719, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000001', 1, 'RUNNING', NULL, NULL, 1796020369505893297, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000001', 2, 'COMPLETED', NULL, NULL, 1796020369505908229, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000002', 0, 'PENDING', NULL, NULL, 1796020369507473582, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000002', 1, 'RUNNING', NULL, NULL, 1796020369507493772, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000002', 2, 'COMPLETED', NULL, NULL, 1796020369507511608, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f861-7c6b-b50c-dc0000000000', 2, 'COMPLETED', NULL, NULL, 1796020369508140872, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000004', 2, 'COMPLETED', NULL, NULL, 1796020369508140872, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000005', 0, 'PENDING', NULL, NULL, 1796020369510357972, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000005', 1, 'RUNNING', NULL, NULL, 1796020369510380545, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000005', 2, 'COMPLETED', NULL, NULL, 1796020369510395237, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f842-7d02-8b6c-40a300000000', 2, 'COMPLETED', NULL, NULL, 1796020369511221093, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f869-7436-90a2-23df00000000', 0, 'PENDING', NULL, NULL, 1796020369513411954, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f869-7436-90a2-23df00000000', 1, 'RUNNING', NULL, NULL, 1796020369513579342, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f869-7436-90a2-23df00000000', 2, 'FAILED', NULL, 'OSError: disk full', 1796020369513787571, 'raised', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f86b-7c6c-a2ba-849800000000', 0, 'PENDING', NULL, NULL, 1796020369515316420, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f86b-7c6c-a2ba-849800000000', 1, 'RUNNING', NULL, NULL, 1796020369515424931, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f86b-7c6c-a2ba-849800000001', 0, 'PENDING', NULL, NULL, 1796020369515554413, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f86b-7c6c-a2ba-849800000001', 1, 'RUNNING', NULL, NULL, 1796020369515581303, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f86b-7c6c-a2ba-849800000001', 2, 'COMPLETED', NULL, NULL, 1796020369515595754, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-f86b-7c6c-a2ba-849800000000', 2, 'PAUSED', 'Suspended', NULL, 1796020369516928672, 'proposed', '{"pause_reschedule": true, "pause_key": "1"}');
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 0, 'PENDING', NULL, NULL, 1796020369974221928, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 1, 'RUNNING', NULL, NULL, 1796020369975917284, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000001', 0, 'PENDING', NULL, NULL, 1796020369976205602, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000001', 1, 'RUNNING', NULL, NULL, 1796020369976244760, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000001', 2, 'COMPLETED', NULL, NULL, 1796020369976270949, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000003', 0, 'PENDING', NULL, NULL, 1796020369986892670, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000002', 0, 'PENDING', NULL, NULL, 1796020369987164028, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000002', 1, 'RUNNING', NULL, NULL, 1796020369987194844, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000002', 2, 'COMPLETED', NULL, NULL, 1796020369987227943, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000003', 1, 'RUNNING', NULL, NULL, 1796020369987279880, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000003', 2, 'COMPLETED', NULL, NULL, 1796020369987289384, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 0, 'PENDING', NULL, NULL, 1796020369989669135, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000004', 0, 'PENDING', NULL, NULL, 1796020369989669135, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 1, 'RUNNING', NULL, NULL, 1796020369989920899, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000004', 1, 'RUNNING', NULL, NULL, 1796020369989920899, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000001', 0, 'PENDING', NULL, NULL, 1796020369990182077, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000001', 1, 'RUNNING', NULL, NULL, 1796020369990199062, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000001', 2, 'COMPLETED', NULL, NULL, 1796020369990214575, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000002', 0, 'PENDING', NULL, NULL, 1796020369991223973, 'created', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000002', 1, 'RUNNING', NULL, NULL, 1796020369991237753, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000002', 2, 'COMPLETED', NULL, NULL, 1796020369991251584, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa45-7075-827f-40ca00000000', 2, 'COMPLETED', NULL, NULL, 1796020369993636232, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000004', 2, 'COMPLETED', NULL, NULL, 1796020369993636232, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a22b27-fa36-714f-86b9-4bec00000000', 2, 'CRASHED', NULL, 'The run was not ended by its process, process 22512 on vm, which is over.', 1796020370013199532, 'owner died', NULL);
INSERT INTO golden.task_runs VALUES ('01a22b27-f842-7d02-8b6c-40a300000001', '01a22b27-f842-7d02-8b6c-40a300000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796020369480759485, 1796020369480817932, 1796020369480845032, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-f842-7d02-8b6c-40a300000003', '01a22b27-f842-7d02-8b6c-40a300000000', 'number', NULL, 2, NULL, NULL, NULL, 1, 1796020369501116058, 1796020369502844723, 1796020369502854547, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-f842-7d02-8b6c-40a300000002', '01a22b27-f842-7d02-8b6c-40a300000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796020369502629584, 1796020369502716903, 1796020369502787578, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-f861-7c6b-b50c-dc0000000001', '01a22b27-f861-7c6b-b50c-dc0000000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796020369505874719, 1796020369505893297, 1796020369505908229, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-f861-7c6b-b50c-dc0000000002', '01a22b27-f861-7c6b-b50c-dc0000000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796020369507473582, 1796020369507493772, 1796020369507511608, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-f842-7d02-8b6c-40a300000004', '01a22b27-f842-7d02-8b6c-40a300000000', 'inside', NULL, 0, NULL, NULL, NULL, 1, 1796020369505223663, 1796020369505595545, 1796020369508140872, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-f842-7d02-8b6c-40a300000005', '01a22b27-f842-7d02-8b6c-40a300000000', 'last', NULL, 0, NULL, NULL, NULL, 1, 1796020369510357972, 1796020369510380545, 1796020369510395237, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-f86b-7c6c-a2ba-849800000001', '01a22b27-f86b-7c6c-a2ba-849800000000', 'prepare', NULL, 0, NULL, NULL, NULL, 1, 1796020369515554413, 1796020369515581303, 1796020369515595754, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-fa36-714f-86b9-4bec00000001', '01a22b27-fa36-714f-86b9-4bec00000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796020369976205602, 1796020369976244760, 1796020369976270949, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-fa36-714f-86b9-4bec00000003', '01a22b27-fa36-714f-86b9-4bec00000000', 'number', NULL, 2, NULL, NULL, NULL, 2, 1796020369986892670, 1796020369987279880, 1796020369987289384, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-fa36-714f-86b9-4bec00000002', '01a22b27-fa36-714f-86b9-4bec00000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796020369987164028, 1796020369987194844, 1796020369987227943, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-fa45-7075-827f-40ca00000001', '01a22b27-fa45-7075-827f-40ca00000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796020369990182077, 1796020369990199062, 1796020369990214575, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-fa45-7075-827f-40ca00000002', '01a22b27-fa45-7075-827f-40ca00000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796020369991223973, 1796020369991237753, 1796020369991251584, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a22b27-fa36-714f-86b9-4bec00000004', '01a22b27-fa36-714f-86b9-4bec00000000', 'inside', NULL, 0, NULL, NULL, NULL, 2, 1796020369989669135, 1796020369989920899, 1796020369993636232, 1, 2, 'COMPLETED', false);
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
