-- Each process parses the whole schema, and an index costs it as much as a table. These served tables that stay small, calls that are rare, or nothing.
DROP INDEX due_at;
DROP INDEX grants_approval;
DROP INDEX approvals_usable;
DROP INDEX messages_placed;
DROP INDEX handoffs_caller;
DROP INDEX notes_owed;
DROP INDEX notes_written;
DROP INDEX runs_due;
DROP INDEX runs_terminal;
DROP INDEX runs_closing;
DROP INDEX runs_open;
DROP INDEX terminals_old;
DROP INDEX terminals_worktree;
DROP INDEX terminals_lost;
CREATE INDEX runs_open ON runs (flow) WHERE outcome = 'running' OR closing = 1;
