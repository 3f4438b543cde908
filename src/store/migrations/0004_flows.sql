-- Nothing has written into these tables yet.
DROP TABLE runs;
DROP TABLE flows;

CREATE TABLE flows (
  name          TEXT PRIMARY KEY,
  path          TEXT NOT NULL,
  sha256        TEXT NOT NULL,
  project       TEXT,
  cwd           TEXT NOT NULL,
  server        TEXT NOT NULL,
  schedule      TEXT NOT NULL,
  timezone      TEXT NOT NULL,
  profile       TEXT NOT NULL,
  provider      TEXT,
  session       TEXT NOT NULL,
  script        TEXT,
  overlap       TEXT NOT NULL,
  catch_up      TEXT NOT NULL,
  jitter_ms     INTEGER NOT NULL,
  timeout_ms    INTEGER NOT NULL,
  enabled       INTEGER NOT NULL,
  next_slot     INTEGER
) WITHOUT ROWID;

CREATE TABLE runs (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  flow          TEXT NOT NULL,
  due_at        INTEGER NOT NULL,
  started_at    INTEGER,
  ended_at      INTEGER,
  outcome       TEXT NOT NULL,
  reason        TEXT,
  terminal      TEXT,
  message       INTEGER,
  deadline_at   INTEGER,
  turn_ended_at INTEGER,
  turn_failed   TEXT,
  lease_pid     INTEGER,
  lease_start   INTEGER
);
CREATE UNIQUE INDEX runs_slot ON runs (flow, due_at);
CREATE INDEX runs_open ON runs (flow) WHERE outcome = 'running';
CREATE INDEX runs_terminal ON runs (terminal) WHERE outcome = 'running';
