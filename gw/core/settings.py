"""Every setting of the gateway: name, type, default, meaning.

Sections are TOML tables. How values are gathered (file, environment, command line) is in
`gw.core.settings_loader`. Long, because it is one list: whoever looks for a setting looks here,
and for what lets devices in, in `gw.core.settings_devices`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gw.core.settings_base import Count, Days, Port, Seconds, Section, Size
from gw.core.settings_devices import CaPolicy, Devices, IpToCountry, Listener, Provisioning

__all__ = ["CaPolicy", "Devices", "IpToCountry", "Listener", "Provisioning"]


class Workers(Section):
    """The processes that hold the device connections."""

    count: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    """Number of processes; 0: one per core."""
    ring_bytes: Size = 16_777_216
    """Size of each queue between a worker and the coordinator; a power of two."""
    ring_reserve_bytes: Size = 2_097_152
    """Part of the queue kept for connects, answers and what is already buffered."""


class Api(Section):
    """The REST listener of the gateway (owgw's public one)."""

    host: str = "0.0.0.0"  # noqa: S104 - TLS and a token are required
    """Address to listen on."""
    port: Port = 16002
    """Port; 0 takes a free one."""
    public_url: str = ""
    """URL under which clients reach this listener; empty: https://<host name>:<port>."""
    certificate: str = ""
    """PEM file: certificate and chain of the api, security and files listeners."""
    key: str = ""
    """PEM file: private key of that certificate."""
    max_body_bytes: Size = 8_000_000
    """Largest request body; it must fit the queue to the coordinator."""
    max_page: Count = 1000
    """Largest `limit` of a list."""
    requests_per_user: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 500
    """Requests a second of one user above which the answer is 403/10; 0: no limit."""
    requests_per_key: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 500
    """The same of one API key, which is not counted as its owner's."""
    requests_per_address: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1000
    """The same of one client address (IPv6: of one /64), signed in or not."""
    burst_seconds: Seconds = 5.0
    """So many seconds' worth of requests may come at once."""
    dashboard_seconds: Seconds = 30.0
    """How old the numbers of `/deviceDashboard` may be; making them reads the whole fleet."""
    oui_file: str = ""
    """Vendors of MAC addresses: IEEE's `oui.txt` or CSV, or lines of prefix and name."""
    regulatory_file: str = ""
    """Text of the wireless regulatory database (`db.txt` of wireless-regdb); empty: none."""
    cors_origins: list[str] = msgspec.field(default_factory=lambda: ["*"])
    """Origins whose pages may call the API; `*` is any."""
    ui_dir: str = ""
    """Folder of a built web UI, with its index.html, that is served at `/`; empty: none."""


class Security(Section):
    """The security service (owsec's listener) and its rules."""

    host: str = "0.0.0.0"  # noqa: S104
    """Address to listen on."""
    port: Port = 16001
    """Port; 0 takes a free one."""
    token_seconds: Count = 2_592_000
    """Life of an access token."""
    refresh_seconds: Count = 7_776_000
    """Life of a refresh token."""
    password_pattern: str = r"^(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])(?=.*[^A-Za-z0-9]).{8,128}$"  # noqa: S105
    """Regular expression that a new password must match."""
    password_history: Annotated[int, msgspec.Meta(ge=0, le=100)] = 5
    """Earlier passwords that may not be used again."""
    administrator: str = "admin@localhost"
    """E-mail address of the user that the first start makes."""
    login_attempts_per_minute: Count = 60
    """Logins per client address and minute above which the answer is 403/10."""
    max_sessions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """Sessions per user; a sign-in beyond them ends the oldest."""
    max_api_keys: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 10
    """API keys per user."""
    audit_days: Count = 365
    """How long it is kept who did what by the API."""
    public_url: str = ""
    """URL of this listener for links in mails; empty: https://<name of this host>:<port>."""
    login_attempts_per_user: Count = 20
    """Logins per user and minute above which the answer is 403/10, wherever they come from."""
    external_url: str = ""
    """Private URL of an external owsec, https://host:17001, that resolves tokens and API keys;
    empty: the built-in one does. With it there is no security listener here."""
    external_from_bus: bool = False
    """Take the external owsec that announces itself on Kafka (docs/kafka.md), instead of one by
    its address."""
    external_key: str = ""
    """Secret that the external owsec announces as its `key`."""
    external_ca: str = ""
    """PEM bundle of the authorities that may sign it; empty: those of the system."""
    external_seconds: Seconds = 5.0
    """Longest wait for its answer; then a request is answered 403/13."""
    external_cache_seconds: Seconds = 30.0
    """How long its answers are kept."""
    sealing_key: str = ""
    """Secret that encrypts secrets in the database; empty: made at the first start and kept in
    the data directory as `sealing.key`. All nodes of one database need the same."""
    internal_key: str = ""
    """Secret that sister services show on the private listeners; empty: made at the first start
    and kept in the data directory as `internal.key`."""

    @property
    def external(self) -> bool:
        """True if another service resolves tokens and API keys."""
        return bool(self.external_url) or self.external_from_bus


class Mail(Section):
    """The mail server for reset links, verification and sign-in codes; off without a host."""

    host: str = ""
    """Name of the SMTP server; empty: no mail is sent, and what needs mail is refused."""
    port: Port = 587
    """Port of the SMTP server."""
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    """`tls` from the first byte (port 465); `none` only for a server on this host."""
    ca: str = ""
    """PEM bundle of the authorities that may sign the server; empty: those of the system."""
    username: str = ""
    """Account on the server; empty: none is needed."""
    password: str = ""
    """Its password."""
    sender: str = ""
    """Address that mails come from; empty: `gw@` and the name of this host."""
    timeout_seconds: Seconds = 30.0
    """Longest wait for the server in one attempt."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
    """Attempts to send one mail, before it is given up."""
    retry_seconds: Seconds = 10.0
    """Pause before the second attempt, doubled for each further one."""
    queue: Count = 500
    """Mails that wait; one more is refused."""


class Sms(Section):
    """Text messages for sign-in codes, through the HTTPS API of a provider; off without a url.

    Each message is one POST with the number, the text, and the sender; 2xx means that it is taken.
    """

    url: str = ""
    """Address of the provider, https://, kept secret since some have a key in it; empty: off."""
    format: Literal["json", "form"] = "json"
    """What is posted: a JSON object, or a form."""
    to_field: str = "to"
    """Name of the member that has the number, as +15551234567."""
    text_field: str = "text"
    """Name of the member that has the text."""
    sender_field: str = "from"
    """Name of the member that has the sender."""
    sender: str = ""
    """Number or name that texts come from; empty: the member is left out."""
    username: str = ""
    """Account at the provider (HTTP Basic); empty: none, or a token."""
    password: str = ""
    """Its password."""
    token: str = ""
    """Token for the provider, sent as `Authorization: Bearer`."""
    ca: str = ""
    """PEM bundle of the authorities that may sign the provider; empty: those of the system."""
    timeout_seconds: Seconds = 10.0
    """Longest wait for the provider in one attempt."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3
    """Attempts to send one sign-in code, before it is given up."""
    retry_seconds: Seconds = 2.0
    """Pause before the second attempt, doubled for each further one."""
    queue: Count = 200
    """Texts that wait; one more is refused."""
    per_number_per_hour: Count = 10
    """Texts to one number within an hour, at most."""


class PrivateApi(Section):
    """The listener on which sister services call the gateway's API (owgw's private one)."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback unless sister services run on other hosts."""
    port: Port = 17002
    """Port; 0 takes a free one."""


class PrivateSecurity(Section):
    """The listener on which sister services call the security service (owsec's private one)."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback unless sister services run on other hosts."""
    port: Port = 17001
    """Port; 0 takes a free one."""


class SecurityCheck(Section):
    """The load balancer's check of the security service: plain HTTP, only `/`.

    That of the gateway is answered by the metrics endpoint.
    """

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 16101
    """Port; 0 takes a free one."""


class Files(Section):
    """The upload listener of the devices."""

    public_url: str = ""
    """URL under which devices reach this listener; empty: https://<host name>:<port>."""
    host: str = "0.0.0.0"  # noqa: S104
    """Address to listen on."""
    port: Port = 16003
    """Port; 0 takes a free one."""
    max_bytes: Size = 10_000_000
    """Largest upload."""
    store: Literal["directory", "database"] = "directory"
    """Where files are kept; several gateways on one database need `database`."""
    directory: str = ""
    """Directory of the files; empty: `files` in the data directory."""
    trace_seconds: Seconds = 600.0
    """How long after it was sent a trace waits for its file."""
    script_seconds: Seconds = 900.0
    """How long after it was sent a deferred script waits for its file."""


class Radius(Section):
    """The RADIUS proxy: an optional process of its own."""

    enabled: bool = False
    """Run it. Off: what devices send to a RADIUS server is dropped."""
    host: str = "0.0.0.0"  # noqa: S104 - what no configured server sends is dropped
    """Address of the UDP sockets; for servers of the other IP version, any address of it."""
    auth_port: Port = 1812
    """UDP port that authentication is sent from; 0 takes a free one."""
    acct_port: Port = 1813
    """UDP port that accounting is sent from; 0 takes a free one."""
    coa_port: Port = 3799
    """UDP port on which servers ask for changes and disconnects; 0 takes a free one."""
    answer_seconds: Seconds = 5.0
    """How long a server may take to answer before the next one is asked."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] = 2
    """Further servers that are asked, or the same one again, before a request is given up."""
    down_after: Count = 3
    """Requests in a row without an answer after which a server counts as down."""
    down_seconds: Seconds = 30.0
    """How long a server that is down is left out before one request is tried on it."""
    probe_seconds: Seconds = 10.0
    """Time between the probes of servers that are monitored."""
    coa_seconds: Seconds = 5.0
    """How long a device may take to answer a change or disconnect."""
    gone_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0
    """How long a device may be away before its accounting sessions are stopped."""
    session_idle_seconds: Seconds = 600.0
    """Silence after which an accounting session is forgotten."""
    require_message_authenticator: bool = False
    """Drop authentication packets of devices, and of servers by UDP, without a
    Message-Authenticator (RFC 3579): they could be forged on their way."""
    max_sessions: Count = 100_000
    """Accounting sessions that are followed."""
    max_sessions_per_device: Count = 2_000
    """Accounting sessions of one device that are followed."""
    max_in_flight_per_device: Annotated[int, msgspec.Meta(ge=1, le=256)] = 64
    """Requests of one device, and to it, that may wait for answers. Per server there are 256."""
    max_conversations: Count = 20_000
    """Authentications under way whose server is remembered."""
    send_buffer_bytes: Size = 1_048_576
    """Unsent bytes of a RadSec connection beyond which its packets go elsewhere."""
    connect_seconds: Seconds = 10.0
    """Limit for the connection and the TLS handshake with a RadSec server."""
    reconnect_seconds: Seconds = 10.0
    """First pause before a RadSec server is connected to again; doubled each time."""
    reconnect_max_seconds: Seconds = 300.0
    """Longest such pause."""


class Rtty(Section):
    """The remote terminal: an optional process of its own that joins devices and browsers."""

    enabled: bool = False
    """Run it. Off: a terminal that is asked for is answered 503."""
    host: str = "0.0.0.0"  # noqa: S104 - TLS, and an id and a token that the gateway gave
    """Address to listen on, for devices and browsers."""
    port: Port = 5912
    """Port for devices; 0 takes a free one."""
    viewer_port: Port = 5913
    """Port for browsers (HTTPS and WebSocket); 0 takes a free one."""
    public_host: str = ""
    """Host name under which devices and browsers reach both; empty: that of `api.public_url`."""
    require_certificate: bool = False
    """Demand a certificate of every device; off: only of those that declare `secure-rtty`."""
    timeout_seconds: Count = 60
    """Told to the device: how long its end waits for the gateway."""
    complete_seconds: Seconds = 120.0
    """How long a session may wait for its device or its browser."""
    idle_seconds: Seconds = 600.0
    """Time without a key pressed after which a session ends."""
    handshake_seconds: Seconds = 30.0
    """Limit for TLS and the registration of a device."""
    max_sessions: Count = 100
    """Sessions at the same time, those that wait included; more are answered 1144."""
    max_pending: Count = 256
    """Connections per port that have not joined a session yet; the oldest makes room for more."""
    buffer_bytes: Size = 262_144
    """Unsent bytes of a session and direction at which reading from the other end pauses."""


class Metrics(Section):
    """The Prometheus endpoint: plain HTTP, loopback unless told otherwise.

    It answers the load balancer's check of the gateway (`/`) as well.
    """

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 16102
    """Port; 0 takes a free one."""


class Store(Section):
    """The database."""

    url: str = ""
    """`sqlite:///path` or `postgresql://user:password@host/database?sslmode=verify-full`; empty:
    `gw.db` in the data directory."""
    synchronous: Literal["full", "normal"] = "full"
    """`full` survives a power cut, `normal` may lose the last batches."""
    connect_seconds: Seconds = 10.0
    """PostgreSQL: limit for opening a connection."""
    query_seconds: Seconds = 30.0
    """PostgreSQL: limit for a query, its wait for a connection included, and for a statement."""
    commit_seconds: Seconds = 60.0
    """PostgreSQL: limit for one attempt to write a batch."""
    migrate_seconds: Seconds = 3600.0
    """PostgreSQL: limit for bringing the schema up to date, the wait for another who does it
    included."""
    read_connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    """PostgreSQL: connections for reading, per process; there are two such processes."""
    batch_records: Count = 1000
    """Records per transaction, at most."""
    batch_bytes: Size = 4_194_304
    """Bytes per transaction, about, at most."""
    batch_milliseconds: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 20.0
    """How long a telemetry record may wait for company."""
    spool_bytes: Annotated[int, msgspec.Meta(ge=0)] = 1_073_741_824
    """Disk space for what devices send while the database is away, in the folder `spool` of the
    data directory; when it is full devices have to wait. 0: no spool."""
    spool_after_seconds: Seconds = 2.0
    """How long the database may take nothing, while a queue is half full, before the spool is
    used."""
    retention_days: Count = 7
    """What `retention` has no days of its own for is deleted when it is older than this."""


class Retention(Section):
    """How long records are kept, per kind, and how fast older ones are deleted.

    For commands see `commands.retention_days`, for the audit `security.audit_days`, for past
    configurations `configuration.history`.
    """

    statistics_days: Days = 0
    """Statistics; 0, here and below: `store.retention_days`."""
    healthchecks_days: Days = 0
    """Health checks."""
    logs_days: Days = 0
    """Log lines."""
    crash_logs_days: Days = 0
    """Logs of crashes and recoveries."""
    reboot_logs_days: Days = 0
    """Logs of reboots."""
    events_days: Days = 0
    """Events of devices."""
    files_days: Days = 0
    """Uploaded files."""
    round_seconds: Seconds = 60.0
    """Time between two looks for what is too old."""
    step_rows: Count = 2000
    """Rows that are deleted in one transaction, at most."""
    step_milliseconds: Annotated[float, msgspec.Meta(ge=1, le=10_000)] = 50.0
    """Time that a step should take: after a longer one the next ones are smaller."""
    time_share: Annotated[float, msgspec.Meta(ge=0.01, le=1)] = 0.25
    """Part of the time that may go to deleting while there is much of it."""


class Configuration(Section):
    """Keeping devices on their stored configuration."""

    answer_seconds: Seconds = 120.0
    """How long a `configure` may take to be answered."""
    resend_at_once: Count = 8
    """Sends of one configuration without delay; further ones grow apart."""
    resend_seconds: Seconds = 30.0
    """First delay, doubled for each further send."""
    resend_max_seconds: Seconds = 3600.0
    """Longest delay between sends."""
    resend_limit: Count = 24
    """Sends of one configuration after which only a change or an operator helps."""
    history: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20
    """Configurations of a device that are kept: the present one and those before it."""
    schema: str = ""
    """JSON Schema that configurations of access points must satisfy; empty: our own."""
    schema_switch: str = ""
    """The same for switches. Both files are read again when they change, and at SIGHUP."""
    schema_errors: Count = 50
    """Errors, and warnings, that are named of one configuration."""


class VendorKey(Section):
    """A vendor whose restricted devices take only what is signed (southbound.md 6.8)."""

    vendor: str
    """As the devices name it in `restrictions.key_info.vendor`."""
    private_key: str
    """PEM file: RSA key of at least 2048 bits that signs, without a password."""
    public_key: str = ""
    """PEM file: its public key; if set, it must be the one of the private key."""


class Signatures(Section):
    """Signatures of scripts and firmware for restricted devices."""

    vendors: list[VendorKey] = msgspec.field(default_factory=list)
    """Keys per vendor: tables with `vendor`, `private_key` and perhaps `public_key`."""
    static: bool = False
    """Answer the algorithm `static`, of laboratories, with its fixed text: it proves nothing."""
    download_seconds: Seconds = 120.0
    """Limit for the download of a firmware image that is to be signed."""
    max_image_bytes: Size = 268_435_456
    """Largest firmware image that is signed."""
    cache_seconds: Seconds = 86_400.0
    """How long the signature of an image holds before the image is downloaded anew."""


class Bus(Section):
    """Events for other services, whichever way they go (docs/events.md)."""

    file: str = ""
    """Append every event to this file, one JSON object a line; empty: no."""
    file_bytes: Size = 104_857_600
    """Size at which that file is renamed to `<name>.1` and begun anew."""
    skip_topics: list[str] = msgspec.field(default_factory=list)
    """Topics that are not published, such as `state`."""
    private_url: str = ""
    """URL of this gateway for its sister services; empty: https://<host name>:<private port>."""
    private_security_url: str = ""
    """The same for its security service; empty: the host of `private_url`, with the port of
    `private_security`."""
    update_seconds: Seconds = 30.0
    """Time between two summaries of the connections: `load-update`, and notification 1000."""


class CommandDeadline(Section):
    """How long one command may take to be answered, instead of what is built in."""

    command: str
    """Name as in REST paths."""
    seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)]
    """How long the REST call waits for the device's answer."""


class Commands(Section):
    """Commands to devices other than `configure`."""

    late_seconds: Seconds = 14_400.0
    """How long a command may stay without an end: waiting for its device, or for a late answer."""
    retry_seconds: Seconds = 120.0
    """Pause before a command that was not delivered is sent again."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    """Sends of one command; those that change a device are sent again only if none arrived."""
    max_waiting: Count = 32
    """Commands of one device that wait for it, or for their time."""
    deadlines: list[CommandDeadline] = msgspec.field(default_factory=list)
    """Deadlines of single commands; see below the tables."""
    retention_days: Count = 30
    """Commands that ended longer ago than this are deleted."""


class Streams(Section):
    """Live streams to browsers: notifications, telemetry, tails of devices."""

    max_sockets: Count = 500
    """WebSockets of viewers, all together; more are answered 503."""
    max_sockets_per_user: Count = 50
    """WebSockets of one user with a token; more are refused."""
    max_unauthenticated: Count = 20
    """WebSockets of one client address whose token has not come; more are answered 503."""
    max_tails: Count = 50
    """Devices whose messages are shown at the same time."""
    queue_items: Count = 2000
    """Items that may wait for one viewer; a tail then misses some, others are ended."""
    queue_bytes: Size = 2_097_152
    """The same in characters; one item of any size may wait."""
    max_message_bytes: Size = 8192
    """Largest message of a viewer."""
    authenticate_seconds: Seconds = 10.0
    """How long the token of a viewer may take to come."""
    ping_seconds: Seconds = 20.0
    """Time between WebSocket PINGs, and how long their answer may take."""


class Kafka(Section):
    """Events go to Kafka; off when there are no servers (docs/kafka.md)."""

    bootstrap_servers: str = ""
    """Brokers to begin with, `host:port`, separated by commas; empty: no Kafka."""
    client_id: str = "gw"
    """Name of this gateway in the broker's logs and quotas."""
    tls: bool = False
    """Encrypt, and check the broker's certificate and name."""
    ca_file: str = ""
    """PEM file: authorities of the broker's certificate; empty: those of the system."""
    certificate_file: str = ""
    """PEM file: certificate that this gateway shows the broker."""
    key_file: str = ""
    """PEM file: private key of that certificate, without a password."""
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    """How to sign in; empty: not at all. PLAIN is for TLS only."""
    username: str = ""
    """Name for SASL."""
    password: str = ""
    """Password for SASL."""
    topic_prefix: str = ""
    """Put in front of every topic's name."""
    topic_names: list[str] = msgspec.field(default_factory=list)
    """Names instead of those built in, each as `topic=name`; the prefix comes on top."""
    create_topics: bool = True
    """Create topics that do not exist."""
    topic_partitions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 6
    """Partitions of a topic that is created."""
    topic_replication: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """Copies of a topic that is created; 0: three, or as many as there are brokers."""
    compression: Literal["none", "gzip", "lz4", "zstd", "snappy"] = "none"
    """How batches are compressed."""
    batch_messages: Count = 1000
    """Messages of one topic that are sent at once, about, at most."""
    batch_bytes: Size = 524_288
    """The same in bytes, and the size of one batch of a partition."""
    batch_milliseconds: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 5.0
    """How long a message may wait for company."""
    max_message_bytes: Size = 1_000_000
    """Larger messages are dropped; the broker's `message.max.bytes` must be above it."""
    buffer_bytes: Size = 67_108_864
    """Messages in memory that the broker has not acknowledged; more go to the spool."""
    request_seconds: Seconds = 20.0
    """Limit for one answer of a broker."""
    reconnect_seconds: Seconds = 30.0
    """Longest pause between two attempts to connect."""
    refused_seconds: Seconds = 60.0
    """How long a topic may be missing or forbidden before its messages are dropped."""
    spool_after_seconds: Seconds = 3.0
    """Messages that are not acknowledged for so long go to the spool on disk."""
    spool_bytes: Size = 1_073_741_824
    """Largest size of the spool; then the oldest of the least important topic goes first."""
    spool_dir: str = ""
    """Folder of the spool; empty: `kafka-spool` in the data directory."""
    close_seconds: Seconds = 5.0
    """How long an end of the gateway waits for the broker; the rest goes to the spool."""


class Log(Section):
    """Logs go to standard error."""

    format: Literal["console", "json"] = "console"
    """`console` for people, `json` for programs: one object a line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below this level are left out."""


class Run(Section):
    """The process tree."""

    data: str = ""
    """Directory for the database and all else that is kept."""
    drain_seconds: Seconds = 20.0
    """How long SIGTERM may take before what is left is killed."""
    restart_seconds: Seconds = 5.0
    """Longest pause before a process that keeps dying is started again."""
    start_seconds: Seconds = 120.0
    """How long a process may take to get ready before it counts as failed."""


SECRETS = frozenset(
    {
        "security.internal_key",
        "security.external_key",
        "security.sealing_key",
        "mail.password",
        "kafka.password",
        "sms.url",
        "sms.password",
        "sms.token",
        "provisioning.bearer_token",
        "provisioning.api_key",
        "iptocountry.token",
    }
)
"""Settings that are secrets themselves: never shown."""


class Settings(Section):
    """All sections."""

    devices: Devices = msgspec.field(default_factory=Devices)
    workers: Workers = msgspec.field(default_factory=Workers)
    api: Api = msgspec.field(default_factory=Api)
    security: Security = msgspec.field(default_factory=Security)
    mail: Mail = msgspec.field(default_factory=Mail)
    sms: Sms = msgspec.field(default_factory=Sms)
    private_api: PrivateApi = msgspec.field(default_factory=PrivateApi)
    private_security: PrivateSecurity = msgspec.field(default_factory=PrivateSecurity)
    security_check: SecurityCheck = msgspec.field(default_factory=SecurityCheck)
    files: Files = msgspec.field(default_factory=Files)
    radius: Radius = msgspec.field(default_factory=Radius)
    rtty: Rtty = msgspec.field(default_factory=Rtty)
    metrics: Metrics = msgspec.field(default_factory=Metrics)
    store: Store = msgspec.field(default_factory=Store)
    retention: Retention = msgspec.field(default_factory=Retention)
    configuration: Configuration = msgspec.field(default_factory=Configuration)
    provisioning: Provisioning = msgspec.field(default_factory=Provisioning)
    iptocountry: IpToCountry = msgspec.field(default_factory=IpToCountry)
    signatures: Signatures = msgspec.field(default_factory=Signatures)
    bus: Bus = msgspec.field(default_factory=Bus)
    commands: Commands = msgspec.field(default_factory=Commands)
    streams: Streams = msgspec.field(default_factory=Streams)
    kafka: Kafka = msgspec.field(default_factory=Kafka)
    log: Log = msgspec.field(default_factory=Log)
    run: Run = msgspec.field(default_factory=Run)

    @property
    def has_bus(self) -> bool:
        """True if events are published."""
        return bool(self.bus.file or self.kafka.bootstrap_servers)
