-- Made by deploy/dev/postgres-schema from 0002_second.sqlite.sql; see there.
-- Flags are 0 or 1, not boolean, so that queries are the same as those of SQLite.

-- Tables and columns of the second release, one part per feature.

-- == commands: state machine, stored scripts ==

-- == policies: default firmwares, provisioning, restrictions ==

-- == telemetry and events ==

-- == security: API keys, MFA, action links, audit ==

-- == configuration: history, validation ==

-- == radius, rtty ==
