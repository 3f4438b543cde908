ALTER TABLE terminals ADD COLUMN cleaned_at INTEGER;
CREATE INDEX terminals_old ON terminals (ended_at) WHERE status = 'exited' AND cleaned_at IS NULL;
CREATE INDEX runs_due ON runs (due_at);
