"""The metrics of every process: names, help, and bounded label values (never a serial number).

Each (metric, label values) has one index in the shared counter page; see `gw.ops.metrics`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gw.core.retention import KINDS

DEVICE_METHODS = (
    "connect", "state", "healthcheck", "log", "event", "alarm", "wifiscan", "crashlog",
    "rebootLog", "cfgpending", "deviceupdate", "ping", "recovery", "telemetry",
    "venue_broadcast", "radius", "unknown",
)  # fmt: skip
LISTENERS = ("0", "1", "2", "3", "4", "5", "6", "7")
"""Places of the device listeners; the endpoint shows their names (gw.core.listeners)."""
API_LISTENER = "api"
HANDSHAKE_FAILURES = (
    "no_certificate", "unknown_ca", "expired", "not_yet_valid", "revoked", "bad_certificate",
    "no_crl", "crl_expired", "bad_common_name", "policy", "tls", "timeout", "reset",
    "not_websocket", "overload", "address_limit", "proxy_untrusted", "proxy_header",
)  # fmt: skip
SESSION_ENDS = (
    "peer", "replaced", "serial_mismatch", "protocol_errors", "bad_json", "binary", "too_big",
    "depth", "idle", "no_connect", "refused", "blacklisted", "revoked", "expired",
    "deleted", "slow", "drain", "error",
)  # fmt: skip
PROTOCOL_ERRORS = (
    "not_jsonrpc", "unknown_method", "bad_params", "bad_compression", "not_connected",
    "foreign_answer", "number_range", "radius_fields", "radius_type", "radius_base64",
    "radius_size", "radius_length",
)  # fmt: skip
PUSH_CAUSES = ("connect", "drift", "write", "retry", "hash", "ahead", "operator")
LOG_ROLES = ("supervisor", "coordinator", "worker", "api", "rtty", "radius")
RADIUS_KINDS = ("auth", "acct", "coa")
RADIUS_DIRECTIONS = ("from_device", "to_device", "from_server", "to_server")
RADIUS_DROPS = (
    "malformed", "bad_code", "foreign_serial", "no_pool", "no_server", "no_device", "repeated",
    "device_busy", "server_busy", "bad_authenticator", "bad_answer", "unexpected_answer",
    "unknown_sender", "sessions_full", "too_big", "unreachable", "undeliverable", "no_answer",
    "device_silent", "no_message_authenticator",
)  # fmt: skip
RECORD_KINDS = ("statistics", "healthcheck", "log", "event", "command", "device", "other")

STREAMS = ("notice", "telemetry", "tail")
STREAM_ENDS = ("limit", "origin", "token", "role", "unknown", "slow", "malformed")
BUS_TOPICS = (
    "connection", "state", "healthcheck", "wifiscan", "alerts", "command", "device_event_queue",
    "rrm", "device_telemetry", "service_events",
)  # fmt: skip
KAFKA_DROPS = (
    "too_big", "rejected", "unknown_topic", "unauthorized", "buffer_full", "spool_full", "disk",
)  # fmt: skip
RTTY_REFUSALS = (
    "tls", "timeout", "overload", "drain", "protocol", "origin", "unknown", "expired", "ended",
    "token", "certificate", "full", "taken", "unavailable",
)  # fmt: skip
RTTY_UNSERVED = ("window", "command", "file", "http", "acknowledge")
RTTY_ENDS = ("device", "viewer", "logout", "login", "idle", "incomplete", "protocol", "drain")


class Metric(NamedTuple):
    """One metric family."""

    name: str
    """Full Prometheus name; counters end in `_total`."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Label names with all their values."""
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, in the unit of the name, without +Inf."""


_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
_WAITS = (
    0.0001, 0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.007, 0.01, 0.015, 0.02,
    0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Finer, so that quantiles of two runs can be compared."""

TABLE: tuple[Metric, ...] = (
    Metric("gw_connections", "gauge", "Device sessions open now.", (("listener", LISTENERS),)),
    Metric(
        "gw_handshakes_total",
        "counter",
        "TLS and WebSocket handshakes completed.",
        (("listener", LISTENERS),),
    ),
    Metric("gw_handshakes_in_flight", "gauge", "TLS handshakes under way."),
    Metric(
        "gw_handshake_failures_total",
        "counter",
        "Connections refused before a session began.",
        (("listener", LISTENERS), ("reason", HANDSHAKE_FAILURES)),
    ),
    Metric(
        "gw_handshake_seconds", "histogram", "TLS handshake and WebSocket upgrade.", (), _SECONDS
    ),
    Metric(
        "gw_session_ends_total",
        "counter",
        "Device sessions ended.",
        (("listener", LISTENERS), ("reason", SESSION_ENDS)),
    ),
    Metric(
        "gw_certificate_reloads_total",
        "counter",
        "Changed certificate files and revocation lists that were read anew.",
        (("listener", (*LISTENERS, API_LISTENER)), ("result", ("success", "failure"))),
    ),
    Metric(
        "gw_sessions_expired_certificate",
        "gauge",
        "Sessions open now whose certificate has ended since.",
        (("listener", LISTENERS),),
    ),
    Metric(
        "gw_device_messages_received_total",
        "counter",
        "Messages of devices.",
        (("method", DEVICE_METHODS),),
    ),
    Metric("gw_device_answers_received_total", "counter", "Answers of devices to commands."),
    Metric(
        "gw_device_requests_given_up_total",
        "counter",
        "Requests whose answer is not awaited any more because too many were (max_outstanding).",
    ),
    Metric("gw_device_messages_sent_total", "counter", "Requests sent to devices."),
    Metric("gw_device_radius_sent_total", "counter", "RADIUS packets sent to devices."),
    Metric("gw_device_received_bytes_total", "counter", "Payload received from devices."),
    Metric("gw_device_sent_bytes_total", "counter", "Payload sent to devices."),
    Metric(
        "gw_protocol_errors_total",
        "counter",
        "Messages that break the protocol.",
        (("reason", PROTOCOL_ERRORS),),
    ),
    Metric(
        "gw_country_lookups_total",
        "counter",
        "Countries of addresses that were looked up.",
        (("result", ("found", "unknown", "remembered", "failed", "overload")),),
    ),
    Metric(
        "gw_country_lookup_seconds",
        "histogram",
        "Time of an attempt to ask a service for a country.",
        (),
        _SECONDS,
    ),
    Metric("gw_country_lookups_waiting", "gauge", "Addresses whose country is asked for."),
    Metric("gw_country_remembered", "gauge", "Countries of addresses that are remembered."),
    Metric(
        "gw_country_database_loads_total",
        "counter",
        "Changed databases of countries that were read anew.",
        (("result", ("success", "failure")),),
    ),
    Metric("gw_queue_refused_total", "counter", "Records that found their queue full."),
    Metric("gw_queue_waits_total", "counter", "Times reading from devices was paused."),
    Metric(
        "gw_queue_wait_seconds",
        "histogram",
        "Age of each message of a device when the coordinator takes it from its queue.",
        (),
        _WAITS,
    ),
    Metric(
        "gw_config_pushes_total",
        "counter",
        "Configurations sent to devices.",
        (("cause", PUSH_CAUSES),),
    ),
    Metric(
        "gw_commands_total",
        "counter",
        "Commands that ended, by their final status.",
        (("status", ("completed", "failed", "timedout", "expired")),),
    ),
    Metric("gw_commands_open", "gauge", "Commands that have no final status."),
    Metric("gw_config_rejections_total", "counter", "Configurations refused by devices."),
    Metric(
        "gw_config_substitutions_total", "counter", "Configurations applied with substitutions."
    ),
    Metric("gw_config_confirmations_total", "counter", "Configurations confirmed by devices."),
    Metric("gw_config_unanswered_total", "counter", "Configurations not answered in time."),
    Metric(
        "gw_store_records_committed_total",
        "counter",
        "Records committed to the store.",
        (("kind", RECORD_KINDS),),
    ),
    Metric("gw_store_batch_seconds", "histogram", "Time to commit one batch.", (), _SECONDS),
    Metric("gw_store_errors_total", "counter", "Failed commits."),
    Metric("gw_store_spool_bytes", "gauge", "Disk space that the spool of the store takes."),
    Metric("gw_store_spool_records", "gauge", "Records in the spool of the store, about."),
    Metric("gw_store_spool_oldest_seconds", "gauge", "Age of the oldest record in the spool."),
    Metric("gw_store_spooled_total", "counter", "Records that went through the spool."),
    Metric("gw_store_spool_full_total", "counter", "Times the spool was full: devices waited."),
    Metric("gw_store_spool_errors_total", "counter", "Times the spool could not be written."),
    Metric("gw_store_spool_lost_bytes_total", "counter", "Damaged parts of the spool."),
    Metric(
        "gw_retention_removed_total",
        "counter",
        "Records deleted because of their age; of dropped partitions about so many.",
        (("kind", KINDS),),
    ),
    Metric(
        "gw_retention_removed_bytes_total",
        "counter",
        "Bytes of these records; of dropped partitions with their indexes.",
        (("kind", KINDS),),
    ),
    Metric(
        "gw_retention_lag_seconds",
        "gauge",
        "By how much the oldest record is older than it should become.",
        (("kind", KINDS),),
    ),
    Metric("gw_retention_step_seconds", "histogram", "Time of one step of deleting.", (), _SECONDS),
    Metric(
        "gw_stream_items_total",
        "counter",
        "Items of live streams sent: by the coordinator to the API, by the API to viewers.",
        (("stream", STREAMS),),
    ),
    Metric(
        "gw_stream_left_out_total",
        "counter",
        "Items of live streams left out under pressure.",
        (("stream", STREAMS),),
    ),
    Metric("gw_stream_sockets", "gauge", "WebSockets of viewers.", (("stream", STREAMS),)),
    Metric(
        "gw_stream_refusals_total",
        "counter",
        "WebSockets of viewers that were refused or ended by the gateway.",
        (("reason", STREAM_ENDS),),
    ),
    Metric("gw_telemetry_streams", "gauge", "Devices whose live telemetry is asked for."),
    Metric(
        "gw_telemetry_unasked_total",
        "counter",
        "Telemetry messages that nobody had asked for; the device is told to stop.",
    ),
    Metric(
        "gw_venue_broadcasts_total",
        "counter",
        "Messages of devices for the others of their venue.",
        (("result", ("relayed", "alone", "dropped")),),
    ),
    Metric("gw_bus_messages_total", "counter", "Events published.", (("topic", BUS_TOPICS),)),
    Metric("gw_bus_dropped_total", "counter", "Events lost because a bound was reached."),
    Metric(
        "gw_service_events_total",
        "counter",
        "Announcements of other services that were read.",
        (("result", ("read", "invalid")),),
    ),
    Metric("gw_sister_services", "gauge", "Other services that announce themselves."),
    Metric("gw_kafka_connected", "gauge", "1 while a Kafka broker answers."),
    Metric(
        "gw_kafka_connects_total",
        "counter",
        "Attempts to connect to Kafka.",
        (("result", ("ok", "failed")),),
    ),
    Metric(
        "gw_kafka_acknowledged_total",
        "counter",
        "Events that Kafka acknowledged, those of the spool included.",
        (("topic", BUS_TOPICS),),
    ),
    Metric(
        "gw_kafka_dropped_total",
        "counter",
        "Events that Kafka did not and will not get.",
        (("topic", BUS_TOPICS), ("reason", KAFKA_DROPS)),
    ),
    Metric("gw_kafka_refused_topics", "gauge", "Topics that are missing or forbidden."),
    Metric("gw_kafka_buffer_bytes", "gauge", "Events in memory that nobody acknowledged."),
    Metric("gw_kafka_spool_bytes", "gauge", "Size of Kafka's spool on disk."),
    Metric("gw_kafka_spool_messages", "gauge", "Events in Kafka's spool, about."),
    Metric("gw_kafka_spool_age_seconds", "gauge", "Age of the oldest event in Kafka's spool."),
    Metric(
        "gw_kafka_spool_damaged_bytes_total",
        "counter",
        "What Kafka's spool held and the disk did not give back.",
    ),
    Metric(
        "gw_kafka_acknowledge_seconds",
        "histogram",
        "From an event to its acknowledgement by Kafka, the oldest of each batch.",
        (),
        _SECONDS,
    ),
    Metric("gw_devices_connected", "gauge", "Devices with an accepted session."),
    Metric(
        "gw_api_requests_total",
        "counter",
        "REST requests by status class.",
        (("status", ("2xx", "3xx", "4xx", "5xx")),),
    ),
    Metric("gw_api_request_seconds", "histogram", "REST request time.", (), _SECONDS),
    Metric(
        "gw_configuration_validations_total",
        "counter",
        "Configurations that REST was given to store; failed: the schema could not judge.",
        (("result", ("valid", "invalid", "failed")),),
    ),
    Metric(
        "gw_api_limited_total",
        "counter",
        "REST requests refused by a rate limit.",
        (("limit", ("user", "key", "address")),),
    ),
    Metric(
        "gw_security_questions_total",
        "counter",
        "Tokens and keys that the external security service was asked about.",
        (("outcome", ("known", "refused", "failed")),),
    ),
    Metric(
        "gw_mails_total",
        "counter",
        "Mails to users.",
        (("outcome", ("sent", "failed", "refused")),),
    ),
    Metric(
        "gw_sms_total",
        "counter",
        "Text messages to users.",
        (("outcome", ("sent", "failed", "refused")),),
    ),
    Metric("gw_logins_total", "counter", "Logins.", (("result", ("success", "failure")),)),
    Metric("gw_rtty_sessions", "gauge", "Terminal sessions, those that wait for an end included."),
    Metric("gw_rtty_sessions_total", "counter", "Terminal sessions that began."),
    Metric(
        "gw_rtty_session_ends_total",
        "counter",
        "Terminal sessions that ended.",
        (("reason", RTTY_ENDS),),
    ),
    Metric(
        "gw_rtty_refused_total",
        "counter",
        "Connections not let into a terminal session.",
        (("end", ("device", "viewer")), ("reason", RTTY_REFUSALS)),
    ),
    Metric(
        "gw_rtty_unserved_frames_total",
        "counter",
        "Frames of devices that belong to no terminal: files, web proxy, and the like.",
        (("kind", RTTY_UNSERVED),),
    ),
    Metric(
        "gw_rtty_bytes_total",
        "counter",
        "Bytes of terminals.",
        (("direction", ("from_device", "to_device")),),
    ),
    Metric(
        "gw_provisioning_lookups_total",
        "counter",
        "Unknown devices that the provisioning service was asked for, or was not.",
        (("result", ("found", "none", "unknown", "unusable", "failed", "remembered", "overload")),),
    ),
    Metric(
        "gw_provisioning_lookup_seconds",
        "histogram",
        "Time to an answer of the provisioning service.",
        (),
        _SECONDS,
    ),
    Metric("gw_provisioning_waiting", "gauge", "Unknown devices that wait for a lookup."),
    Metric(
        "gw_radius_packets_total",
        "counter",
        "RADIUS packets that the proxy passed on or took.",
        (("direction", RADIUS_DIRECTIONS), ("kind", RADIUS_KINDS)),
    ),
    Metric(
        "gw_radius_dropped_total",
        "counter",
        "RADIUS packets that came to nothing.",
        (("reason", RADIUS_DROPS),),
    ),
    Metric(
        "gw_radius_undelivered_total",
        "counter",
        "RADIUS packets between device and proxy that found a queue full, or no session.",
    ),
    Metric("gw_radius_timeouts_total", "counter", "Times that a RADIUS server was silent."),
    Metric("gw_radius_retries_total", "counter", "RADIUS requests sent once more."),
    Metric(
        "gw_radius_probes_total",
        "counter",
        "Probes of RADIUS servers.",
        (("result", ("answered", "silent")),),
    ),
    Metric(
        "gw_radius_answer_seconds", "histogram", "Time of a RADIUS server's answer.", (), _SECONDS
    ),
    Metric("gw_radius_in_flight", "gauge", "RADIUS requests that wait for a server."),
    Metric("gw_radius_sessions", "gauge", "Accounting sessions."),
    Metric("gw_radius_conversations", "gauge", "Authentications whose server is remembered."),
    Metric("gw_radius_servers_down", "gauge", "RADIUS servers that do not answer."),
    Metric("gw_radius_connections", "gauge", "RadSec connections that stand."),
    Metric(
        "gw_radius_connection_failures_total",
        "counter",
        "RadSec connections that failed or were lost.",
    ),
    Metric(
        "gw_firmware_upgrades_total",
        "counter",
        "Upgrades made for devices below the minimum firmware of their type.",
    ),
    Metric(
        "gw_log_level",
        "gauge",
        "Log level set at run time, by kind of process: 10 debug to 40 error; 0: as configured.",
        (("role", LOG_ROLES),),
    ),
    Metric("gw_process_starts_total", "counter", "Starts of this process slot."),
)
