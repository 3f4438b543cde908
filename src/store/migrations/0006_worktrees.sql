ALTER TABLE terminals ADD COLUMN worktree TEXT;
ALTER TABLE terminals ADD COLUMN branch TEXT;
ALTER TABLE terminals ADD COLUMN worktree_base TEXT;
ALTER TABLE terminals ADD COLUMN repository TEXT;
ALTER TABLE terminals ADD COLUMN worktree_kept TEXT;
CREATE INDEX terminals_worktree ON terminals (created_at) WHERE worktree IS NOT NULL OR branch IS NOT NULL;
