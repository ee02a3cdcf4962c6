-- Tables and columns of the third release, one part per feature.

-- == retention per kind of log ==

CREATE INDEX device_logs_by_type ON device_logs (log_type, recorded);
DROP INDEX device_logs_by_age;
