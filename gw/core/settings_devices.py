"""Settings of the device listeners: who is let in, by which rules, and who is asked about him."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gw.core.settings_base import Count, Port, Seconds, Section, Size


class CaPolicy(Section):
    """Rules of their own for the devices of one issuing authority. It is named by at least one of
    the first three; all that are set must fit, and the first policy that fits counts."""

    issuer: str = ""
    """Common name of the issuing CA that this policy is for."""
    subject: str = ""
    """Its whole subject, as openssl prints it with `-nameopt RFC2253,-esc_msb,utf8`."""
    fingerprint: str = ""
    """SHA-256 of its certificate, in hexadecimal, with or without colons."""
    serial_mismatch_bits: Annotated[int, msgspec.Meta(ge=0, le=8)] = 0
    """Low bits in which certificate and `serial` may differ (owgw: 2)."""
    common_name: Literal["serial", "mac"] = "serial"
    """Form of the common name: `serial` is 12 hexadecimal digits, `mac` also takes `:` and `-`."""
    simulator_prefix: bool = False
    """Accept a certificate whose common name starts with `53494d` for any serial number."""
    simulated: bool = False
    """All devices of this authority are simulators, and shown as such."""
    unknown: Literal["", "refuse", "create", "quarantine", "ask"] = ""
    """As `devices.unknown`, for devices of this authority; empty: as there."""


class Listener(Section):
    """One more listener for devices, beside that of `devices` itself: another address, other
    authorities. What is not named here is as `devices` has it; the fleet is one."""

    name: str
    """Small letters, digits and hyphens: it is shown in logs, metrics and the device's status."""
    port: Port
    """Port; 0 takes a free one."""
    ca: str
    """PEM bundle of the authorities that issue the certificates of its devices."""
    host: str = ""
    """Address to listen on; empty: `devices.host`."""
    certificate: str = ""
    """PEM file: server certificate and chain; empty: `devices.certificate`."""
    key: str = ""
    """PEM file: private key of that certificate; empty: `devices.key`."""
    crl: str = ""
    """PEM file of revoked certificates, one list per issuing authority; empty: none."""
    ca_policies: list[CaPolicy] = msgspec.field(default_factory=list)
    """Rules per issuing authority, for this listener; those of `devices` do not count here."""
    unknown: Literal["", "refuse", "create", "quarantine", "ask"] = ""
    """What to do with a device that is not in the store; empty: `devices.unknown`."""
    expired: Literal["", "keep", "close"] = ""
    """What to do with a session whose certificate ends; empty: `devices.expired`."""
    proxy_networks: list[str] = msgspec.field(default_factory=list)
    """Networks of load balancers that put a PROXY protocol header (version 1 or 2) before TLS;
    then nobody else may connect. Empty: there is none."""


class Devices(Section):
    """The websocket listener of the devices."""

    host: str = "0.0.0.0"  # noqa: S104 - devices come from outside; TLS and a client certificate are required
    """Address to listen on; `::` and `0.0.0.0` are all addresses."""
    port: Port = 15002
    """Port; 0 takes a free one, which the ready file names."""
    backlog: Count = 4096
    """Connections that wait in the kernel, per worker slot."""
    certificate: str = ""
    """PEM file: server certificate and chain."""
    key: str = ""
    """PEM file: private key of that certificate, without a password."""
    ca: str = ""
    """PEM bundle of the authorities that issue device certificates."""
    crl: str = ""
    """PEM file of revoked certificates, one list per issuing authority; empty: none."""
    reload_seconds: Seconds = 30.0
    """How often these files, and those of `api`, are looked at; changed ones are used at once."""
    expired: Literal["keep", "close"] = "keep"
    """What to do with a session whose certificate ends meanwhile: it is logged in any case."""
    unknown: Literal["refuse", "create", "quarantine", "ask"] = "refuse"
    """What to do with a device that is not in the store; `ask`: see `provisioning`."""
    default_country: str = ""
    """Two letters: country of devices of whose address none is known; see `iptocountry`."""
    ca_policies: list[CaPolicy] = msgspec.field(default_factory=list)
    """Rules per issuing authority; see below the tables."""
    proxy_networks: list[str] = msgspec.field(default_factory=list)
    """Networks of load balancers that put a PROXY protocol header (version 1 or 2) before TLS;
    then nobody else may connect. Empty: there is none."""
    listeners: list[Listener] = msgspec.field(default_factory=list)
    """Further listeners for devices, up to 7; see below the tables."""
    max_frame_bytes: Size = 524_288
    """Largest WebSocket frame accepted."""
    max_message_bytes: Size = 1_048_576
    """Largest message, over all its fragments."""
    max_expanded_bytes: Size = 4_194_304
    """Largest message after decompression."""
    protocol_errors: Count = 10
    """Protocol errors after which the session is closed."""
    handshake_seconds: Seconds = 20.0
    """Limit for TLS and the WebSocket upgrade."""
    connect_seconds: Seconds = 60.0
    """Limit from the upgrade to the `connect` message."""
    idle_seconds: Seconds = 600.0
    """Silence after which a session is closed."""
    max_handshakes: Count = 64
    """TLS handshakes in flight, per worker and listener."""
    max_pending: Count = 4096
    """Accepted connections that wait for a handshake, per worker and listener."""
    max_pending_per_address: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """The same of one address (IPv6: of one /64); 0: no limit of their own."""
    max_sessions: Count = 50_000
    """Sessions per worker, of all listeners."""
    max_outstanding: Count = 64
    """Requests of one device that may still be answered; beyond, one ends without its answer."""
    venue_broadcast: bool = True
    """Relay what a device tells the others of its venue."""
    send_buffer_bytes: Size = 8_388_608
    """Unsent bytes per device at which its session is closed."""


class Provisioning(Section):
    """The outside service that is asked for unknown devices, where `unknown` is `ask`."""

    url: str = ""
    """Its base: GET <url>/api/v1/inventory/<serial>?config=true is sent."""
    fallback: Literal["refuse", "create", "quarantine"] = "refuse"
    """What to do if it fails, does not know the device, or has no configuration for it."""
    seconds: Seconds = 20.0
    """Limit for one answer."""
    bearer_token: str = ""
    """Sent as `Authorization: Bearer`, if set."""
    api_key: str = ""
    """Sent as `X-API-KEY`, if set."""
    internal_name: str = ""
    """Sent as `X-INTERNAL-NAME`, if set."""
    ca: str = ""
    """PEM bundle that its certificate must chain to; empty: the system's."""
    max_lookups: Count = 16
    """Lookups under way."""
    max_waiting: Count = 10_000
    """Devices that wait for a lookup; for further ones the fallback counts at once."""
    failure_seconds: Seconds = 30.0
    """After a failure the service is not asked for so long: the fallback counts at once."""
    unknown_seconds: Seconds = 60.0
    """How long an answer without a configuration holds for the device."""


class IpToCountry(Section):
    """The country of a device by its address: its `locale`, and that of its radios if a default
    configuration leaves them without one. Where nothing is known: `devices.default_country`."""

    provider: Literal["", "file", "ipinfo", "ipdata", "ip2location"] = ""
    """Who knows: a database file, or a service that is asked by HTTPS; empty: nobody."""
    file: str = ""
    """Database in MaxMind's format (`.mmdb`); read again when it changes, and at SIGHUP."""
    token: str = ""
    """Token or key of the account with the service."""
    url: str = ""
    """Base URL of the service, if it is not the public one."""
    ca: str = ""
    """PEM bundle that its certificate must chain to; empty: the system's."""
    seconds: Seconds = 5.0
    """Limit for one attempt to ask the service."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2
    """Attempts per address."""
    retry_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    """Pause before a further attempt."""
    wait_seconds: Seconds = 10.0
    """How long a new device, or a call of the API, waits for an answer."""
    failure_seconds: Seconds = 60.0
    """After a failure the service is not asked for so long."""
    max_lookups: Count = 4
    """Questions under way."""
    max_waiting: Count = 10_000
    """Addresses that wait for their answer; further ones are not asked for."""
    cache_entries: Count = 100_000
    """Answers that are remembered."""
    cache_seconds: Seconds = 604_800.0
    """How long an answer holds."""
