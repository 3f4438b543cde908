ALTER TABLE terminals ADD COLUMN hooked INTEGER NOT NULL DEFAULT 1;
ALTER TABLE terminals ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE terminals ADD COLUMN args TEXT NOT NULL DEFAULT '[]';

ALTER TABLE messages ADD COLUMN final INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_placed ON messages (id) WHERE status = 'placed';
DROP INDEX messages_open;
CREATE INDEX messages_open ON messages (receiver, seq) WHERE status IN ('held', 'queued', 'claimed', 'placed') AND final = 0;
