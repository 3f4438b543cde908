CREATE TABLE notes (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  terminal     TEXT NOT NULL,
  name         TEXT NOT NULL,
  body         TEXT NOT NULL,
  question     INTEGER NOT NULL,
  options      TEXT NOT NULL,
  key          TEXT,
  status       TEXT NOT NULL,
  written_at   INTEGER NOT NULL,
  seen_at      INTEGER,
  withdrawn_at INTEGER,
  answered_at  INTEGER,
  answered_by  TEXT,
  answer       TEXT,
  given        TEXT,
  message      INTEGER,
  waiter_pid   INTEGER,
  waiter_start INTEGER
);
CREATE UNIQUE INDEX notes_key ON notes (terminal, key) WHERE key IS NOT NULL;
CREATE INDEX notes_open ON notes (terminal) WHERE status IN ('open', 'seen');
CREATE INDEX notes_owed ON notes (id) WHERE status = 'answered' AND given IS NULL;
CREATE INDEX notes_written ON notes (terminal, written_at);
