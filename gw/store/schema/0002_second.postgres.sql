-- Made by deploy/dev/postgres-schema from 0002_second.sqlite.sql; see there.
-- Flags are 0 or 1, not boolean, so that queries are the same as those of SQLite.

-- Tables and columns of the second release, one part per feature.

-- == commands: state machine, stored scripts ==

ALTER TABLE commands ADD COLUMN attempts bigint NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN answered bigint NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN late_answer text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX commands_by_end ON commands (completed, id) WHERE completed > 0;

CREATE TABLE scripts (
    id                 text COLLATE "C" NOT NULL PRIMARY KEY,
    name               text COLLATE "C" NOT NULL,
    description        text COLLATE "C" NOT NULL,
    uri                text COLLATE "C" NOT NULL,
    content            text COLLATE "C" NOT NULL,
    version            text COLLATE "C" NOT NULL,
    type               text COLLATE "C" NOT NULL,
    author             text COLLATE "C" NOT NULL,
    restricted         text COLLATE "C" NOT NULL,
    deferred           bigint NOT NULL,
    timeout            bigint NOT NULL,
    default_upload_uri text COLLATE "C" NOT NULL,
    created            bigint NOT NULL,
    modified           bigint NOT NULL
);
CREATE INDEX scripts_by_name ON scripts (name, id);

-- == policies: default firmwares, provisioning, restrictions ==

-- == telemetry and events ==

-- == security: API keys, MFA, action links, audit ==

-- == configuration: history, validation ==

-- == radius, rtty ==
