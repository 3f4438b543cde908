-- closing: the run is over, and its terminal is still to be closed.
ALTER TABLE runs ADD COLUMN closing INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_closing ON runs (flow) WHERE closing = 1;
-- The deadline on the clock that stands still while the machine sleeps; it holds within that boot.
ALTER TABLE runs ADD COLUMN deadline_boot TEXT;
ALTER TABLE runs ADD COLUMN deadline_awake INTEGER;
-- The process group of its script.
ALTER TABLE runs ADD COLUMN script_pid INTEGER;
ALTER TABLE runs ADD COLUMN script_start INTEGER;
