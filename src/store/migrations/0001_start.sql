CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE terminals (
  id              TEXT PRIMARY KEY,
  session         TEXT NOT NULL,
  window          TEXT NOT NULL,
  pane            TEXT,
  server_socket   TEXT,
  server_pid      INTEGER,
  server_start    INTEGER,
  pane_pid        INTEGER,
  root_pid        INTEGER,
  root_start      INTEGER,
  tty             INTEGER NOT NULL DEFAULT 0,
  provider        TEXT NOT NULL,
  profile         TEXT NOT NULL,
  role            TEXT NOT NULL,
  status          TEXT NOT NULL,
  status_reason   TEXT NOT NULL,
  status_source   TEXT NOT NULL,
  status_since    INTEGER NOT NULL,
  caller          TEXT,
  cwd             TEXT NOT NULL,
  model           TEXT,
  created_at      INTEGER NOT NULL,
  ended_at        INTEGER,
  exit_code       INTEGER,
  agent_session   TEXT,
  program         TEXT,
  last_event_at   INTEGER,
  last_answer     TEXT,
  gate_seen_at    INTEGER,
  session_owned   INTEGER NOT NULL DEFAULT 0,
  env             TEXT NOT NULL DEFAULT '[]',
  settled         INTEGER NOT NULL DEFAULT 0,
  next_seq        INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE INDEX terminals_live ON terminals (created_at) WHERE status <> 'exited';
CREATE INDEX terminals_ended ON terminals (ended_at) WHERE status = 'exited';

CREATE TABLE messages (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  sender       TEXT NOT NULL,
  sender_name  TEXT NOT NULL,
  is_order     INTEGER NOT NULL,
  receiver     TEXT NOT NULL,
  body         TEXT NOT NULL,
  status       TEXT NOT NULL,
  transport    TEXT,
  attempts     INTEGER NOT NULL DEFAULT 0,
  seq          INTEGER NOT NULL,
  tag          TEXT NOT NULL,
  queued_at    INTEGER NOT NULL,
  placed_at    INTEGER,
  submitted_at INTEGER,
  expires_at   INTEGER,
  last_error   TEXT,
  key          TEXT,
  trace        TEXT NOT NULL,
  hops         INTEGER NOT NULL DEFAULT 0,
  again        INTEGER NOT NULL DEFAULT 0,
  read_offset  INTEGER NOT NULL DEFAULT 0,
  lease_pid    INTEGER,
  lease_start  INTEGER
);
CREATE UNIQUE INDEX messages_seq ON messages (receiver, seq);
CREATE UNIQUE INDEX messages_key ON messages (sender, key) WHERE key IS NOT NULL;
CREATE INDEX messages_open ON messages (receiver, seq) WHERE status IN ('held', 'queued', 'claimed', 'placed');
CREATE INDEX messages_failed ON messages (status, id) WHERE status IN ('expired', 'dead', 'cancelled');
CREATE INDEX messages_pair ON messages (sender, receiver, queued_at);
CREATE INDEX messages_recent ON messages (queued_at);
CREATE INDEX messages_expiry ON messages (expires_at) WHERE status IN ('held', 'queued') AND expires_at IS NOT NULL;

CREATE TABLE attempts (
  id        INTEGER PRIMARY KEY,
  message   INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
  at        INTEGER NOT NULL,
  transport TEXT NOT NULL,
  outcome   TEXT NOT NULL,
  reason    TEXT
);
CREATE INDEX attempts_message ON attempts (message, id);

CREATE TABLE handoffs (
  id          TEXT PRIMARY KEY,
  caller      TEXT NOT NULL,
  worker      TEXT NOT NULL,
  message     INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  status      TEXT NOT NULL,
  answer      TEXT,
  created_at  INTEGER NOT NULL,
  deadline_at INTEGER NOT NULL,
  answered_at INTEGER,
  given       TEXT,
  open        INTEGER NOT NULL DEFAULT 0,
  waiter_pid   INTEGER,
  waiter_start INTEGER
) WITHOUT ROWID;
CREATE INDEX handoffs_worker ON handoffs (worker) WHERE given IS NULL;
CREATE INDEX handoffs_caller ON handoffs (caller, fingerprint, created_at);

CREATE TABLE approvals (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  terminal     TEXT,
  kind         TEXT NOT NULL,
  tool         TEXT,
  command      TEXT NOT NULL,
  cwd          TEXT,
  digest       TEXT NOT NULL,
  rule         TEXT,
  status       TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  decided_at   INTEGER,
  decided_by   TEXT,
  scope        TEXT,
  reason       TEXT
);
CREATE INDEX approvals_pending ON approvals (requested_at) WHERE status = 'pending';
CREATE INDEX approvals_usable ON approvals (terminal, digest) WHERE status = 'approved';

CREATE TABLE flows (
  name     TEXT PRIMARY KEY,
  path     TEXT NOT NULL,
  sha256   TEXT NOT NULL,
  enabled  INTEGER NOT NULL DEFAULT 1,
  next_run INTEGER
) WITHOUT ROWID;

CREATE TABLE runs (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  flow       TEXT NOT NULL,
  due_at     INTEGER NOT NULL,
  started_at INTEGER,
  ended_at   INTEGER,
  outcome    TEXT NOT NULL,
  reason     TEXT,
  terminal   TEXT
);
CREATE UNIQUE INDEX runs_slot ON runs (flow, due_at);

CREATE TABLE audit (
  seq     INTEGER PRIMARY KEY,
  at      TEXT NOT NULL,
  action  TEXT NOT NULL,
  subject TEXT NOT NULL,
  actor   TEXT NOT NULL,
  via     TEXT NOT NULL,
  detail  TEXT NOT NULL,
  prev    TEXT NOT NULL,
  hash    TEXT NOT NULL
);

CREATE TABLE due (
  kind    TEXT NOT NULL,
  subject TEXT NOT NULL,
  server  TEXT,
  at      INTEGER NOT NULL,
  PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
CREATE INDEX due_at ON due (at);

CREATE TABLE armed (
  server     TEXT PRIMARY KEY,
  at         INTEGER NOT NULL,
  generation INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE trust (
  project TEXT NOT NULL,
  file    TEXT NOT NULL,
  sha256  TEXT NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (project, file)
) WITHOUT ROWID;

CREATE TABLE remembered (
  server TEXT NOT NULL,
  name   TEXT NOT NULL,
  value  TEXT NOT NULL,
  PRIMARY KEY (server, name)
) WITHOUT ROWID;
