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
INSERT INTO golden.calls VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 0, 0, '', 'number', 0, '01a229fd-78ea-70b6-b098-772d00000001', 1);
INSERT INTO golden.calls VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 0, 1, '', 'number', 1, '01a229fd-78ea-70b6-b098-772d00000002', 2);
INSERT INTO golden.calls VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 0, 2, '', 'flow inside', 0, '01a229fd-790c-7d17-9de0-80d900000000', 1);
INSERT INTO golden.calls VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 0, 0, '', 'number', 0, '01a229fd-790c-7d17-9de0-80d900000001', 1);
INSERT INTO golden.calls VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 0, 1, '', 'number', 1, '01a229fd-790c-7d17-9de0-80d900000002', 1);
INSERT INTO golden.calls VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 0, 3, '', 'last', 0, '01a229fd-78ea-70b6-b098-772d00000005', 1);
INSERT INTO golden.calls VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000000', 0, 0, '', 'prepare', 0, '01a229fd-7919-7ae8-9a8b-08bf00000001', 1);
INSERT INTO golden.calls VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 0, 0, '', 'number', 0, '01a229fd-7b10-7b5f-9a8a-130200000001', 1);
INSERT INTO golden.calls VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 0, 1, '', 'number', 1, '01a229fd-7b10-7b5f-9a8a-130200000002', 2);
INSERT INTO golden.calls VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 0, 2, '', 'flow inside', 0, '01a229fd-7b2e-7375-b3d8-dbf700000000', 1);
INSERT INTO golden.calls VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 0, 0, '', 'number', 0, '01a229fd-7b2e-7375-b3d8-dbf700000001', 1);
INSERT INTO golden.calls VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 0, 1, '', 'number', 1, '01a229fd-7b2e-7375-b3d8-dbf700000002', 1);
INSERT INTO golden.flow_runs VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 'rapid-weasel', 'inside', NULL, '01a229fd-78ea-70b6-b098-772d00000000', '01a229fd-78ea-70b6-b098-772d00000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 1, 0, 1796000807180660444, 1796000807180994037, 1796000807185116620, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 'spry-quail', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 1, 0, 1796000807146369945, 1796000807149637819, 1796000807188507463, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a229fd-7916-7a24-b4b5-e55200000000', 'eager-marmot', 'doubled', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'doubled', NULL, 1, 0, 1796000807190392125, 1796000807190643912, 1796000807190989265, 1, 2, 'FAILED', false);
INSERT INTO golden.flow_runs VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000000', 'gentle-bat', 'approved', NULL, NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'approved', NULL, 1, 0, 1796000807193506547, 1796000807193735588, NULL, 1, 2, 'PAUSED', true);
INSERT INTO golden.flow_runs VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 'honest-ibis', 'inside', NULL, '01a229fd-7b10-7b5f-9a8a-130200000000', '01a229fd-7b10-7b5f-9a8a-130200000004', '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'inside', NULL, 2, 0, 1796000807726637376, 1796000807726967428, 1796000807732495503, 1, 2, 'COMPLETED', false);
INSERT INTO golden.flow_runs VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 'fabled-dipper', 'sums', '3', NULL, NULL, '/elsewhere/recorded_flows.py', 'tests.runtime.stores.recorded_flows', 'sums', NULL, 2, 1, 1796000807696863401, 1796000807699765511, 1796000807745757611, 1, 2, 'CRASHED', false);
INSERT INTO golden.millrace_schema VALUES (1);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (1, 'process 30470 on vm', 1796000807060994787, 30843, 1796000807637800041, 11);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (3, 'process 30470 on vm', 1796000807745757611, 31023, NULL, 0);
INSERT INTO golden.owners OVERRIDING SYSTEM VALUE VALUES (2, 'process 30880 on vm', 1796000807637800041, 31017, 1796000807745757611, 6);
INSERT INTO golden.parameters VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 1, 'first', 'pickle', '\x80054b012e', '');
INSERT INTO golden.parameters VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a229fd-7916-7a24-b4b5-e55200000000', 1, 'number', 'pickle', '\x80054b042e', '');
INSERT INTO golden.parameters VALUES ('01a229fd-7916-7a24-b4b5-e55200000000', 2, 'wrong', 'pickle', '\x8005882e', '');
INSERT INTO golden.parameters VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 1, 'first', 'pickle', '\x80054b052e', '');
INSERT INTO golden.parameters VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 1, 'start', 'pickle', '\x80054b042e', '');
INSERT INTO golden.results VALUES ('01a229fd-78ea-70b6-b098-772d00000001', 'pickle', '\x80054b0a2e', '');
INSERT INTO golden.results VALUES ('01a229fd-78ea-70b6-b098-772d00000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a229fd-78ea-70b6-b098-772d00000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a229fd-790c-7d17-9de0-80d900000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a229fd-790c-7d17-9de0-80d900000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.results VALUES ('01a229fd-78ea-70b6-b098-772d00000005', 'pickle', '\x80054b072e', '');
INSERT INTO golden.results VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 'pickle', '\x80054b9d2e', '');
INSERT INTO golden.results VALUES ('01a229fd-7916-7a24-b4b5-e55200000000', 'pickle', '\x80059528000000000000008c086275696c74696e73948c074f534572726f729493948c096469736b2066756c6c94859452942e', '');
INSERT INTO golden.results VALUES ('01a229fd-7b10-7b5f-9a8a-130200000001', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a229fd-7b10-7b5f-9a8a-130200000002', 'pickle', '\x80054b142e', '');
INSERT INTO golden.results VALUES ('01a229fd-7b10-7b5f-9a8a-130200000003', 'pickle', '\x80054b1e2e', '');
INSERT INTO golden.results VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000001', 'pickle', '\x80054b282e', '');
INSERT INTO golden.results VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000002', 'pickle', '\x80054b322e', '');
INSERT INTO golden.results VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 'pickle', '\x80054b5a2e', '');
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 0, 'PENDING', NULL, NULL, 1796000807146369945, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 1, 'RUNNING', NULL, NULL, 1796000807149637819, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000001', 0, 'PENDING', NULL, NULL, 1796000807150115607, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000001', 1, 'RUNNING', NULL, NULL, 1796000807150165355, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000001', 2, 'COMPLETED', NULL, NULL, 1796000807150202808, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000003', 0, 'PENDING', NULL, NULL, 1796000807166072637, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000002', 0, 'PENDING', NULL, NULL, 1796000807173437294, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000002', 1, 'RUNNING', NULL, NULL, 1796000807173592687, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000002', 2, 'COMPLETED', NULL, NULL, 1796000807173670772, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000003', 1, 'RUNNING', NULL, NULL, 1796000807173741273, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000003', 2, 'COMPLETED', NULL, NULL, 1796000807173759396, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 0, 'PENDING', NULL, NULL, 1796000807180660444, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000004', 0, 'PENDING', NULL, NULL, 1796000807180660444, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 1, 'RUNNING', NULL, NULL, 1796000807180994037, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000004', 1, 'RUNNING', NULL, NULL, 1796000807180994037, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000001', 0, 'PENDING', NULL, NULL, 1796000807181381056, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000001', 1, 'RUNNING', NULL, NULL, 1796000807181404956, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000001', 2, 'COMPLETED', NULL, NULL, 1796000807181432901, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000002', 0, 'PENDING', NULL, NULL, 1796000807183030215, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000002', 1, 'RUNNING', NULL, NULL, 1796000807183057233, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000002', 2, 'COMPLETED', NULL, NULL, 1796000807183091537, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-790c-7d17-9de0-80d900000000', 2, 'COMPLETED', NULL, NULL, 1796000807185116620, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000004', 2, 'COMPLETED', NULL, NULL, 1796000807185116620, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000005', 0, 'PENDING', NULL, NULL, 1796000807187544009, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000005', 1, 'RUNNING', NULL, NULL, 1796000807187570192, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000005', 2, 'COMPLETED', NULL, NULL, 1796000807187597363, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-78ea-70b6-b098-772d00000000', 2, 'COMPLETED', NULL, NULL, 1796000807188507463, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7916-7a24-b4b5-e55200000000', 0, 'PENDING', NULL, NULL, 1796000807190392125, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7916-7a24-b4b5-e55200000000', 1, 'RUNNING', NULL, NULL, 1796000807190643912, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7916-7a24-b4b5-e55200000000', 2, 'FAILED', NULL, 'OSError: disk full', 1796000807190989265, 'raised', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000000', 0, 'PENDING', NULL, NULL, 1796000807193506547, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000000', 1, 'RUNNING', NULL, NULL, 1796000807193735588, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000001', 0, 'PENDING', NULL, NULL, 1796000807193899634, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000001', 1, 'RUNNING', NULL, NULL, 1796000807193921084, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000001', 2, 'COMPLETED', NULL, NULL, 1796000807193940500, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000000', 2, 'PAUSED', 'Suspended', NULL, 1796000807196462776, 'proposed', '{"pause_reschedule": true, "pause_key": "1"}');
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 0, 'PENDING', NULL, NULL, 1796000807696863401, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 1, 'RUNNING', NULL, NULL, 1796000807699765511, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000001', 0, 'PENDING', NULL, NULL, 1796000807700141246, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000001', 1, 'RUNNING', NULL, NULL, 1796000807700180756, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000001', 2, 'COMPLETED', NULL, NULL, 1796000807700212806, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000003', 0, 'PENDING', NULL, NULL, 1796000807717993489, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000002', 0, 'PENDING', NULL, NULL, 1796000807722159738, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000002', 1, 'RUNNING', NULL, NULL, 1796000807722242961, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000002', 2, 'COMPLETED', NULL, NULL, 1796000807722302898, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000003', 1, 'RUNNING', NULL, NULL, 1796000807722395005, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000003', 2, 'COMPLETED', NULL, NULL, 1796000807722412904, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 0, 'PENDING', NULL, NULL, 1796000807726637376, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000004', 0, 'PENDING', NULL, NULL, 1796000807726637376, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 1, 'RUNNING', NULL, NULL, 1796000807726967428, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000004', 1, 'RUNNING', NULL, NULL, 1796000807726967428, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000001', 0, 'PENDING', NULL, NULL, 1796000807727345007, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000001', 1, 'RUNNING', NULL, NULL, 1796000807727373200, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000001', 2, 'COMPLETED', NULL, NULL, 1796000807727404043, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000002', 0, 'PENDING', NULL, NULL, 1796000807729266237, 'created', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000002', 1, 'RUNNING', NULL, NULL, 1796000807729311218, 'admitted', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000002', 2, 'COMPLETED', NULL, NULL, 1796000807729387569, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000000', 2, 'COMPLETED', NULL, NULL, 1796000807732495503, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000004', 2, 'COMPLETED', NULL, NULL, 1796000807732495503, 'returned', NULL);
INSERT INTO golden.states VALUES ('01a229fd-7b10-7b5f-9a8a-130200000000', 2, 'CRASHED', NULL, 'The run was not ended by its process, process 30880 on vm, which is over.', 1796000807745757611, 'owner died', NULL);
INSERT INTO golden.task_runs VALUES ('01a229fd-78ea-70b6-b098-772d00000001', '01a229fd-78ea-70b6-b098-772d00000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796000807150115607, 1796000807150165355, 1796000807150202808, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-78ea-70b6-b098-772d00000003', '01a229fd-78ea-70b6-b098-772d00000000', 'number', NULL, 2, NULL, NULL, NULL, 1, 1796000807166072637, 1796000807173741273, 1796000807173759396, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-78ea-70b6-b098-772d00000002', '01a229fd-78ea-70b6-b098-772d00000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796000807173437294, 1796000807173592687, 1796000807173670772, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-790c-7d17-9de0-80d900000001', '01a229fd-790c-7d17-9de0-80d900000000', 'number', NULL, 0, NULL, NULL, NULL, 1, 1796000807181381056, 1796000807181404956, 1796000807181432901, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-790c-7d17-9de0-80d900000002', '01a229fd-790c-7d17-9de0-80d900000000', 'number', NULL, 1, NULL, NULL, NULL, 1, 1796000807183030215, 1796000807183057233, 1796000807183091537, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-78ea-70b6-b098-772d00000004', '01a229fd-78ea-70b6-b098-772d00000000', 'inside', NULL, 0, NULL, NULL, NULL, 1, 1796000807180660444, 1796000807180994037, 1796000807185116620, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-78ea-70b6-b098-772d00000005', '01a229fd-78ea-70b6-b098-772d00000000', 'last', NULL, 0, NULL, NULL, NULL, 1, 1796000807187544009, 1796000807187570192, 1796000807187597363, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-7919-7ae8-9a8b-08bf00000001', '01a229fd-7919-7ae8-9a8b-08bf00000000', 'prepare', NULL, 0, NULL, NULL, NULL, 1, 1796000807193899634, 1796000807193921084, 1796000807193940500, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-7b10-7b5f-9a8a-130200000001', '01a229fd-7b10-7b5f-9a8a-130200000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796000807700141246, 1796000807700180756, 1796000807700212806, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-7b10-7b5f-9a8a-130200000003', '01a229fd-7b10-7b5f-9a8a-130200000000', 'number', NULL, 2, NULL, NULL, NULL, 2, 1796000807717993489, 1796000807722395005, 1796000807722412904, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-7b10-7b5f-9a8a-130200000002', '01a229fd-7b10-7b5f-9a8a-130200000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796000807722159738, 1796000807722242961, 1796000807722302898, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000001', '01a229fd-7b2e-7375-b3d8-dbf700000000', 'number', NULL, 0, NULL, NULL, NULL, 2, 1796000807727345007, 1796000807727373200, 1796000807727404043, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-7b2e-7375-b3d8-dbf700000002', '01a229fd-7b2e-7375-b3d8-dbf700000000', 'number', NULL, 1, NULL, NULL, NULL, 2, 1796000807729266237, 1796000807729311218, 1796000807729387569, 1, 2, 'COMPLETED', false);
INSERT INTO golden.task_runs VALUES ('01a229fd-7b10-7b5f-9a8a-130200000004', '01a229fd-7b10-7b5f-9a8a-130200000000', 'inside', NULL, 0, NULL, NULL, NULL, 2, 1796000807726637376, 1796000807726967428, 1796000807732495503, 1, 2, 'COMPLETED', false);
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
