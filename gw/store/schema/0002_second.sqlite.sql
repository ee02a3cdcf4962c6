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

CREATE TABLE files (
    uuid    TEXT NOT NULL,
    part    INTEGER NOT NULL,
    created INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (uuid, part)
) STRICT;
CREATE INDEX files_by_age ON files (created);

-- == policies: default firmwares, provisioning, restrictions ==

ALTER TABLE devices ADD COLUMN firmware_image TEXT NOT NULL DEFAULT '';

CREATE TABLE default_firmwares (
    device_type         TEXT NOT NULL PRIMARY KEY,
    uri                 TEXT NOT NULL,
    revision            TEXT NOT NULL,
    minimum_revision    TEXT NOT NULL,
    description         TEXT NOT NULL,
    image_creation_date INTEGER NOT NULL,
    created             INTEGER NOT NULL,
    last_modified       INTEGER NOT NULL
) STRICT;

-- == telemetry and events ==

CREATE TABLE telemetry_subscriptions (
    uuid          TEXT NOT NULL PRIMARY KEY,
    serial_number TEXT NOT NULL,
    kafka         INTEGER NOT NULL,
    seconds       INTEGER NOT NULL,
    types         TEXT NOT NULL,
    until         INTEGER NOT NULL
) STRICT;

CREATE INDEX devices_by_venue ON devices (venue, serial_number) WHERE venue <> '';

-- == security: API keys, MFA, action links, audit ==

CREATE TABLE api_keys (
    id          TEXT NOT NULL PRIMARY KEY,
    user_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    key_hash    TEXT NOT NULL UNIQUE,
    hint        TEXT NOT NULL,
    rights      TEXT NOT NULL,
    created     INTEGER NOT NULL,
    expires_on  INTEGER NOT NULL,
    last_use    INTEGER NOT NULL
) STRICT;
CREATE INDEX api_keys_by_user ON api_keys (user_id, name);

-- As `users`, but for nobody who works with the gateway: no token of theirs opens it.
CREATE TABLE subscribers (
    id                      TEXT NOT NULL PRIMARY KEY,
    email                   TEXT NOT NULL UNIQUE,
    name                    TEXT NOT NULL,
    role                    TEXT NOT NULL,
    password                TEXT NOT NULL,
    old_passwords           TEXT NOT NULL,
    change_password         INTEGER NOT NULL,
    suspended               INTEGER NOT NULL,
    waiting_for_email_check INTEGER NOT NULL,
    created                 INTEGER NOT NULL,
    modified                INTEGER NOT NULL,
    last_login              INTEGER NOT NULL,
    document                TEXT NOT NULL
) STRICT;

CREATE TABLE action_links (
    link_hash TEXT NOT NULL PRIMARY KEY,
    action    TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL
) STRICT;
CREATE INDEX action_links_by_user ON action_links (user_id);
CREATE INDEX action_links_by_age ON action_links (expires);

CREATE TABLE avatars (
    user_id    TEXT NOT NULL PRIMARY KEY,
    media_type TEXT NOT NULL,
    image      BLOB NOT NULL,
    modified   INTEGER NOT NULL
) STRICT;

CREATE TABLE system_secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id        INTEGER PRIMARY KEY,
    entry     TEXT NOT NULL UNIQUE,
    recorded  INTEGER NOT NULL,
    author    TEXT NOT NULL,
    role      TEXT NOT NULL,
    via       TEXT NOT NULL,
    address   TEXT NOT NULL,
    request   TEXT NOT NULL,
    operation TEXT NOT NULL,
    target    TEXT NOT NULL,
    result    INTEGER NOT NULL,
    detail    TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_age ON audit (recorded);
CREATE INDEX audit_by_author ON audit (author, id);
CREATE INDEX audit_by_target ON audit (target, id);

-- == configuration: history, validation ==

CREATE TABLE configurations (
    id            INTEGER PRIMARY KEY,
    serial_number TEXT NOT NULL,
    uuid          INTEGER NOT NULL,
    hash          TEXT NOT NULL,
    recorded      INTEGER NOT NULL,
    author        TEXT NOT NULL,
    through       TEXT NOT NULL,
    configuration TEXT NOT NULL
) STRICT;
CREATE INDEX configurations_by_device ON configurations (serial_number, id);

-- == radius, rtty ==

CREATE TABLE radius_pools (
    name     TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL,
    modified INTEGER NOT NULL
) STRICT;

-- == summaries ==

CREATE INDEX commands_by_name ON commands (command);
