-- A list of three values or more is a table of its own whenever a row comes into such an index or leaves it; alternatives are not.
DROP INDEX messages_open;
DROP INDEX messages_failed;
DROP INDEX approvals_open;
CREATE INDEX messages_open ON messages (receiver, seq) WHERE (status = 'held' OR status = 'queued' OR status = 'claimed' OR status = 'placed') AND final = 0;
CREATE INDEX messages_failed ON messages (status, id) WHERE (status = 'expired' OR status = 'dead' OR status = 'cancelled');
CREATE INDEX approvals_open ON approvals (terminal) WHERE (status = 'pending' OR status = 'approved' OR status = 'consumed') AND ran_at IS NULL;
