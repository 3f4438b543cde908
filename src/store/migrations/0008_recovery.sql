ALTER TABLE terminals ADD COLUMN lost TEXT;
ALTER TABLE terminals ADD COLUMN lost_at INTEGER;
ALTER TABLE terminals ADD COLUMN offered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE terminals ADD COLUMN begun INTEGER NOT NULL DEFAULT 1;
ALTER TABLE terminals ADD COLUMN window_id TEXT;
ALTER TABLE terminals ADD COLUMN window_index INTEGER;
ALTER TABLE terminals ADD COLUMN pane_index INTEGER;
ALTER TABLE terminals ADD COLUMN layout TEXT;
CREATE INDEX terminals_lost ON terminals (lost_at) WHERE lost IS NOT NULL;
UPDATE terminals SET begun = 0 WHERE last_event_at IS NULL AND hooked = 1 AND adopted = 0;

-- A start time carries the mark of its boot from here on; what runs now was started in this one.
UPDATE terminals SET root_start = root_start + {boot} WHERE status <> 'exited';
UPDATE messages SET lease_start = lease_start + {boot} WHERE status = 'claimed';
UPDATE handoffs SET waiter_start = waiter_start + {boot};
UPDATE approvals SET waiter_start = waiter_start + {boot} WHERE status = 'pending';
UPDATE runs SET lease_start = lease_start + {boot} WHERE outcome = 'running';
