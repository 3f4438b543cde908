ALTER TABLE terminals ADD COLUMN cleaned_at INTEGER;
CREATE INDEX terminals_old ON terminals (ended_at) WHERE status = 'exited' AND cleaned_at IS NULL;
CREATE INDEX runs_due ON runs (due_at);
-- What is removed is looked for among what refers to it.
CREATE INDEX approvals_message ON approvals (message);
CREATE INDEX grants_approval ON grants (approval);
