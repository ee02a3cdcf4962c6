-- Tables and columns of the second release, one part per feature.

-- == commands: state machine, stored scripts ==

ALTER TABLE commands ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN answered INTEGER NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN late_answer TEXT NOT NULL DEFAULT '';

CREATE INDEX commands_by_end ON commands (completed) WHERE completed > 0;

CREATE TABLE scripts (
    id                 TEXT NOT NULL PRIMARY KEY,
    name               TEXT NOT NULL,
    description        TEXT NOT NULL,
    uri                TEXT NOT NULL,
    content            TEXT NOT NULL,
    version            TEXT NOT NULL,
    type               TEXT NOT NULL,
    author             TEXT NOT NULL,
    restricted         TEXT NOT NULL,
    deferred           INTEGER NOT NULL,
    timeout            INTEGER NOT NULL,
    default_upload_uri TEXT NOT NULL,
    created            INTEGER NOT NULL,
    modified           INTEGER NOT NULL
) STRICT;
CREATE INDEX scripts_by_name ON scripts (name, id);

-- == policies: default firmwares, provisioning, restrictions ==

-- == telemetry and events ==

-- == security: API keys, MFA, action links, audit ==

-- == configuration: history, validation ==

-- == radius, rtty ==
