-- Tables and columns of the third release, one part per feature.

-- == retention per kind of log ==

CREATE INDEX device_logs_by_type ON device_logs (log_type, recorded);
DROP INDEX device_logs_by_age;

-- == fleet: search and filters of the console ==

-- The rule of `configuration_state` in gw/api/device_document.py; a test compares them.
ALTER TABLE devices ADD COLUMN configuration_state TEXT GENERATED ALWAYS AS (CASE
    WHEN (config_uuid = 0 AND pending_uuid = 0)
        OR hold IN ('the device asks not to be managed (uuid 0)', 'no configuration is stored')
        THEN 'unmanaged'
    WHEN pending_uuid <> 0 THEN 'pending'
    WHEN (rejected_hash <> '' AND rejected_hash = config_hash)
        OR hold IN ('the device rejected this configuration',
                    'the device reports the id of a configuration that it rejected')
        THEN 'rejected'
    WHEN applied_uuid = config_uuid AND applied_hash IN ('', config_hash) THEN 'in_step'
    WHEN hold <> '' THEN 'held'
    WHEN applied_at <> 0 THEN 'drifted'
    ELSE 'unknown'
END) VIRTUAL;

CREATE INDEX devices_by_state ON devices (configuration_state, serial_number);
CREATE INDEX devices_by_firmware ON devices (firmware, serial_number);
CREATE INDEX devices_by_type ON devices (compatible, serial_number);
-- The last six and the last four digits: what people read from a label.
CREATE INDEX devices_by_last_six ON devices (substr(serial_number, 7), serial_number);
CREATE INDEX devices_by_last_four ON devices (substr(serial_number, 9), serial_number);
CREATE INDEX devices_by_certificate ON devices (certificate_expiry, serial_number)
    WHERE certificate_expiry > 0;
