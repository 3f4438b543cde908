ALTER TABLE approvals ADD COLUMN input TEXT NOT NULL DEFAULT 'null';
ALTER TABLE approvals ADD COLUMN text_digest TEXT;
ALTER TABLE approvals ADD COLUMN risk TEXT NOT NULL DEFAULT 'high';
ALTER TABLE approvals ADD COLUMN presence TEXT NOT NULL DEFAULT 'challenge';
ALTER TABLE approvals ADD COLUMN why TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN complete INTEGER NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN unclear TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approvals ADD COLUMN scripts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approvals ADD COLUMN words TEXT;
ALTER TABLE approvals ADD COLUMN via TEXT;
ALTER TABLE approvals ADD COLUMN message INTEGER REFERENCES messages (id);
ALTER TABLE approvals ADD COLUMN waiter_pid INTEGER;
ALTER TABLE approvals ADD COLUMN waiter_start INTEGER;
ALTER TABLE approvals ADD COLUMN consumed_at INTEGER;
ALTER TABLE approvals ADD COLUMN ran_at INTEGER;
CREATE INDEX approvals_open ON approvals (terminal) WHERE status IN ('pending', 'approved', 'consumed') AND ran_at IS NULL;

CREATE TABLE grants (
  terminal TEXT NOT NULL,
  digest   TEXT NOT NULL,
  approval INTEGER NOT NULL REFERENCES approvals (id),
  at       INTEGER NOT NULL,
  PRIMARY KEY (terminal, digest)
) WITHOUT ROWID;

ALTER TABLE terminals ADD COLUMN gate_silent_at INTEGER;
