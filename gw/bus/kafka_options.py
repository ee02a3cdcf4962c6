"""The settings of Kafka, checked, as the client library takes them."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import codec

from gw.core.settings import Kafka

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
"""What a broker takes as name of a topic."""
_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s:,\[\]]+):[0-9]{1,5}")
_CODECS: Final = {
    "gzip": codec.has_gzip,
    "lz4": codec.has_lz4,
    "zstd": codec.has_zstd,
    "snappy": codec.has_snappy,
}
_RETRY_MILLISECONDS: Final = 200


def servers(settings: Kafka) -> list[str]:
    """Return the brokers to begin with. Raises ValueError."""
    found = [one.strip() for one in settings.bootstrap_servers.split(",") if one.strip()]
    for one in found:
        if not _SERVER.fullmatch(one) or int(one.rpartition(":")[2]) > 65535:
            raise ValueError(f"kafka.bootstrap_servers: {one!r} is not host:port")
    if not found:
        raise ValueError("kafka.bootstrap_servers: no server")
    return found


def topic_names(settings: Kafka, topics: Iterable[str]) -> dict[str, str]:
    """Return the name that each topic has at the broker. Raises ValueError."""
    names = {topic: topic for topic in topics}
    for one in settings.topic_names:
        topic, equals, name = one.partition("=")
        if not equals or topic not in names:
            raise ValueError(
                f"kafka.topic_names: {one!r} is not topic=name with one of {', '.join(names)}"
            )
        names[topic] = name
    names = {topic: settings.topic_prefix + name for topic, name in names.items()}
    for name in names.values():
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise ValueError(
                f"kafka.topic_prefix, kafka.topic_names: {name!r} is no name of a topic: up to "
                "249 letters, digits, dots, hyphens and underscores"
            )
    if len(set(names.values())) < len(names):
        raise ValueError("kafka.topic_names: two topics have the same name")
    return names


def client_options(settings: Kafka) -> dict[str, Any]:
    """Return the arguments that every client of the library takes. Raises ValueError."""
    options: dict[str, Any] = {
        "bootstrap_servers": servers(settings),
        "client_id": settings.client_id,
        "request_timeout_ms": int(settings.request_seconds * 1000),
        "retry_backoff_ms": _RETRY_MILLISECONDS,
        "security_protocol": _protocol(settings),
    }
    if settings.tls:
        options["ssl_context"] = _tls(settings)
    elif settings.ca_file or settings.certificate_file:
        raise ValueError("kafka.ca_file, kafka.certificate_file: of no use without kafka.tls")
    if settings.sasl_mechanism:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password
    return options


def compression(settings: Kafka) -> str | None:
    """Return the name of the compression; None if there is none. Raises ValueError."""
    if settings.compression == "none":
        return None
    if not _CODECS[settings.compression]():
        raise ValueError(
            f"kafka.compression: no library for {settings.compression}; "
            "`pip install cramjam` brings it"
        )
    return settings.compression


def _protocol(settings: Kafka) -> str:
    if not settings.sasl_mechanism:
        if settings.username or settings.password:
            raise ValueError("kafka.username, kafka.password: of no use without sasl_mechanism")
        return "SSL" if settings.tls else "PLAINTEXT"
    if not settings.username or not settings.password:
        raise ValueError("kafka.sasl_mechanism: kafka.username and kafka.password must be set")
    if settings.sasl_mechanism == "PLAIN" and not settings.tls:
        raise ValueError("kafka.sasl_mechanism: PLAIN shows the password; it needs kafka.tls")
    return "SASL_SSL" if settings.tls else "SASL_PLAINTEXT"


def _tls(settings: Kafka) -> ssl.SSLContext:
    if bool(settings.certificate_file) != bool(settings.key_file):
        raise ValueError("kafka.certificate_file, kafka.key_file: one without the other")
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:  # ssl.SSLError too
        raise ValueError(f"kafka.ca_file {settings.ca_file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate_file:
        try:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
        except OSError as error:
            raise ValueError(
                f"kafka.certificate_file {settings.certificate_file}, "
                f"kafka.key_file {settings.key_file}: {error}"
            ) from None
    return context
