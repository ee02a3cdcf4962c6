"""What `gw doctor` looks at of the event bus, and what keeps a gateway from starting with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gw.bus.topics import TOPICS
from gw.core.settings import Settings
from gw.ops.health_finding import Finding, fault, good, warning


def bus_faults(settings: Settings) -> list[str]:
    """Return what is wrong with the settings of the bus, one line each: `setting: reason`."""
    faults = [
        f"bus.skip_topics: {topic!r} is none of {', '.join(TOPICS)}"
        for topic in settings.bus.skip_topics
        if topic not in TOPICS
    ]
    if not settings.kafka.bootstrap_servers:
        return faults
    if settings.bus.file:
        faults.append("bus.file, kafka.bootstrap_servers: only one of them may be set")
    from gw.bus import kafka_options

    for check in (
        kafka_options.client_options,
        kafka_options.compression,
        lambda kafka: kafka_options.topic_names(kafka, TOPICS),
    ):
        try:
            check(settings.kafka)
        except ValueError as error:
            faults.append(str(error))
    return faults


def kafka_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what is to be said of the brokers of `kafka.bootstrap_servers`."""
    if not settings.kafka.bootstrap_servers or bus_faults(settings):
        return
    from aiokafka.errors import KafkaError

    from gw.bus import kafka_link, kafka_options

    wanted = kafka_options.topic_names(settings.kafka, TOPICS).values()
    try:
        brokers, found = asyncio.run(kafka_link.look(settings.kafka))
    except (KafkaError, OSError, TimeoutError) as error:
        yield fault(
            "kafka",
            f"kafka.bootstrap_servers: no broker answers: {_text(error)}",
            "start one, or correct the servers, kafka.tls or the SASL settings; until then events "
            "go to the spool",
        )
        return
    yield good("kafka", f"{brokers} broker{'' if brokers == 1 else 's'} at hand")
    missing = sorted(set(wanted) - found)
    if missing and not settings.kafka.create_topics:
        yield warning(
            "kafka",
            f"topics that this gateway does not see: {', '.join(missing)}",
            "create them, allow it to describe them, set kafka.create_topics, or leave them "
            "out with bus.skip_topics",
        )


def _text(error: BaseException) -> str:
    return str(error).removeprefix("KafkaError: ") or "no answer in time"
