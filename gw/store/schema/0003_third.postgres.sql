-- Made by deploy/dev/postgres-schema from 0003_third.sqlite.sql; see there.
-- Flags are 0 or 1, not boolean, so that queries are the same as those of SQLite.

-- Tables and columns of the third release, one part per feature.

-- == retention per kind of log ==

CREATE INDEX device_logs_by_type ON device_logs (log_type, recorded);
