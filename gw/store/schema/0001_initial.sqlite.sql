-- Times are Unix seconds. Telemetry tables have an INTEGER PRIMARY KEY: the order of arrival.
-- Their index on (serial_number, recorded) ends with that id, as every index of SQLite does,
-- so it gives (serial_number, recorded, id). The index on `recorded` alone is for retention.

CREATE TABLE devices (
    id                          INTEGER PRIMARY KEY,
    serial_number               TEXT NOT NULL UNIQUE,
    device_type                 TEXT NOT NULL,
    compatible                  TEXT NOT NULL,
    model                       TEXT NOT NULL,
    manufacturer                TEXT NOT NULL,
    mac_address                 TEXT NOT NULL,
    firmware                    TEXT NOT NULL,
    fw_update_policy            TEXT NOT NULL,
    owner                       TEXT NOT NULL,
    location                    TEXT NOT NULL,
    venue                       TEXT NOT NULL,
    entity                      TEXT NOT NULL,
    subscriber                  TEXT NOT NULL,
    device_password             TEXT NOT NULL,
    notes                       TEXT NOT NULL,
    locale                      TEXT NOT NULL,
    restricted_device           INTEGER NOT NULL,
    restriction_details         TEXT NOT NULL,
    simulated                   INTEGER NOT NULL,
    quarantined                 INTEGER NOT NULL,
    connect_reason              TEXT NOT NULL,
    created                     INTEGER NOT NULL,
    modified                    INTEGER NOT NULL,
    last_configuration_change   INTEGER NOT NULL,
    last_configuration_download INTEGER NOT NULL,
    last_fw_update              INTEGER NOT NULL,
    last_recorded_contact       INTEGER NOT NULL,
    certificate_expiry          INTEGER NOT NULL,
    config_uuid                 INTEGER NOT NULL,
    config_hash                 TEXT NOT NULL,
    pending_uuid                INTEGER NOT NULL,
    pending_hash                TEXT NOT NULL,
    pending_command             TEXT NOT NULL,
    applied_uuid                INTEGER NOT NULL,
    applied_hash                TEXT NOT NULL,
    applied_at                  INTEGER NOT NULL,
    rejected_uuid               INTEGER NOT NULL,
    rejected_hash               TEXT NOT NULL,
    rejected_at                 INTEGER NOT NULL,
    rejected_text               TEXT NOT NULL,
    rejections                  TEXT NOT NULL,
    sends                       INTEGER NOT NULL,
    last_sent                   INTEGER NOT NULL,
    hold                        TEXT NOT NULL
) STRICT;
CREATE INDEX devices_by_platform ON devices (device_type, serial_number);
CREATE INDEX devices_unprovisioned ON devices (serial_number, entity, venue)
    WHERE entity = '' AND venue = '';

-- Apart from `devices`, whose rows change at every connect: an UPDATE writes the whole row again,
-- and a configuration has tens of kilobytes.
CREATE TABLE device_documents (
    serial_number               TEXT NOT NULL UNIQUE
                                REFERENCES devices (serial_number) ON DELETE CASCADE,
    configuration               TEXT NOT NULL,
    pending_configuration       TEXT NOT NULL
) STRICT;

CREATE TABLE statistics (
    id            INTEGER PRIMARY KEY,
    serial_number TEXT NOT NULL,
    uuid          INTEGER NOT NULL,
    recorded      INTEGER NOT NULL,
    data          BLOB NOT NULL
) STRICT;
CREATE INDEX statistics_by_device ON statistics (serial_number, recorded);
CREATE INDEX statistics_by_age ON statistics (recorded);

CREATE TABLE healthchecks (
    id            INTEGER PRIMARY KEY,
    serial_number TEXT NOT NULL,
    uuid          INTEGER NOT NULL,
    sanity        INTEGER NOT NULL,
    recorded      INTEGER NOT NULL,
    data          BLOB NOT NULL
) STRICT;
CREATE INDEX healthchecks_by_device ON healthchecks (serial_number, recorded);
CREATE INDEX healthchecks_by_age ON healthchecks (recorded);

CREATE TABLE device_logs (
    id            INTEGER PRIMARY KEY,
    serial_number TEXT NOT NULL,
    uuid          INTEGER NOT NULL,
    severity      INTEGER NOT NULL,
    log_type      INTEGER NOT NULL,
    recorded      INTEGER NOT NULL,
    log           TEXT NOT NULL,
    data          BLOB NOT NULL
) STRICT;
-- `log_type` first: every query of logs names one, crashes are few among many lines.
CREATE INDEX device_logs_by_device ON device_logs (serial_number, log_type, recorded);
CREATE INDEX device_logs_by_age ON device_logs (recorded);

CREATE TABLE device_events (
    id            INTEGER PRIMARY KEY,
    serial_number TEXT NOT NULL,
    recorded      INTEGER NOT NULL,
    type          TEXT NOT NULL,
    data          BLOB NOT NULL
) STRICT;
CREATE INDEX device_events_by_device ON device_events (serial_number, recorded);
CREATE INDEX device_events_by_age ON device_events (recorded);

CREATE TABLE capabilities (
    serial_number TEXT NOT NULL PRIMARY KEY,
    capabilities  TEXT NOT NULL,
    first_update  INTEGER NOT NULL,
    last_update   INTEGER NOT NULL
) STRICT;

CREATE TABLE commands (
    id               INTEGER PRIMARY KEY,
    uuid             TEXT NOT NULL UNIQUE,
    serial_number    TEXT NOT NULL,
    command          TEXT NOT NULL,
    status           TEXT NOT NULL,
    submitted_by     TEXT NOT NULL,
    submitted        INTEGER NOT NULL,
    executed         INTEGER NOT NULL,
    completed        INTEGER NOT NULL,
    run_at           INTEGER NOT NULL,
    last_try         INTEGER NOT NULL,
    error_code       INTEGER NOT NULL,
    error_text       TEXT NOT NULL,
    details          TEXT NOT NULL,
    results          TEXT NOT NULL,
    custom           INTEGER NOT NULL,
    waiting_for_file INTEGER NOT NULL,
    attach_date      INTEGER NOT NULL,
    attach_size      INTEGER NOT NULL,
    attach_type      TEXT NOT NULL,
    execution_ms     REAL NOT NULL,
    deferred         INTEGER NOT NULL
) STRICT;
CREATE INDEX commands_by_device ON commands (serial_number, submitted);
CREATE INDEX commands_unfinished ON commands (command, submitted)
    WHERE status NOT IN ('completed', 'failed', 'timedout', 'expired');

CREATE TABLE default_configurations (
    name          TEXT NOT NULL PRIMARY KEY,
    configuration TEXT NOT NULL,
    model_ids     TEXT NOT NULL,
    description   TEXT NOT NULL,
    platform      TEXT NOT NULL,
    created       INTEGER NOT NULL,
    last_modified INTEGER NOT NULL
) STRICT;

CREATE TABLE blacklist (
    serial_number TEXT NOT NULL PRIMARY KEY,
    reason        TEXT NOT NULL,
    author        TEXT NOT NULL,
    created       INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
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

CREATE TABLE tokens (
    access_hash     TEXT NOT NULL PRIMARY KEY,
    refresh_hash    TEXT NOT NULL UNIQUE,
    user_id         TEXT NOT NULL,
    created         INTEGER NOT NULL,
    expires         INTEGER NOT NULL,
    refresh_expires INTEGER NOT NULL,
    last_refresh    INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE INDEX tokens_by_age ON tokens (refresh_expires);

CREATE TABLE ring_positions (
    ring        TEXT NOT NULL PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    position    INTEGER NOT NULL
) STRICT;
