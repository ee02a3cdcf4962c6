-- Tables and columns of the second release, one part per feature.

-- == commands: state machine, stored scripts ==

-- == policies: default firmwares, provisioning, restrictions ==

-- == telemetry and events ==

-- == security: API keys, MFA, action links, audit ==

-- == configuration: history, validation ==

-- == radius, rtty ==
