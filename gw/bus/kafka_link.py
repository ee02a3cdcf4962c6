"""The connection to Kafka: one idempotent producer, made anew when it cannot go on.

The library's producer retries by itself, for ever, whatever a broker may answer better later. What
is left to do here: connecting, with growing pauses; creating topics; telling what can never
succeed from what can; and a new producer where the old one is stuck. An idempotent producer that
lost a batch for good is: the numbers of its later batches have a gap, which brokers refuse.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

from aiokafka import AIOKafkaProducer, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gw.bus import kafka_options
from gw.core.settings import Kafka
from gw.ops import logs, metrics

log = logs.get("bus")

_FIRST_PAUSE: Final = 0.25
_STOP_SECONDS: Final = 3.0
"""How long the old producer may take to end before its connections are cut."""
_LOOK_SECONDS: Final = 5.0
"""A batch that takes longer may be for a topic that was deleted meanwhile."""
_REPLICATION: Final = 3
_CONNECTS: Final = metrics.indexes("gw_kafka_connects_total")
_TOO_BIG: Final = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_RENEW: Final = (
    errors.OutOfOrderSequenceNumber, errors.UnknownProducerId, errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping, errors.ProducerFenced, errors.ProducerClosed,
    errors.KafkaTimeoutError,
)  # fmt: skip


class Away(Exception):  # noqa: N818 - a state, not a fault
    """The producer was replaced, or is about to be: send again."""


class RejectedError(Exception):
    """A batch that can never be accepted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        """Label of gw_kafka_dropped_total."""


class RefusedError(RejectedError):
    """A topic that does not exist, or may not be written: nothing for it is accepted now."""


async def look(settings: Kafka) -> tuple[int, set[str]]:
    """Return the number of brokers, and the topics that are seen; for `gw doctor`.

    Raises KafkaError, OSError, TimeoutError, ValueError.
    """
    said = _listen()
    admin = AIOKafkaAdminClient(**kafka_options.client_options(settings))
    try:
        async with asyncio.timeout(settings.request_seconds):
            await admin.start()
            topics = await admin.list_topics()
            brokers = await admin.describe_cluster()
        return len(brokers["brokers"]), set(topics)
    except errors.KafkaError as error:
        raise errors.KafkaError(said.text or _text(error)) from None
    finally:
        await admin.close()


def _listen() -> _Said:
    """Take what the library logs; returns who keeps the last of it."""
    said = _Said()
    library = logging.getLogger("aiokafka")
    library.handlers = [said]
    library.propagate = False
    return said


class _Said(logging.Handler):
    """Keeps the last error that the library logged.

    Its lines tell every attempt of every retry; its exceptions do not tell why it cannot connect.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self.text = record.getMessage()


class Link:
    """Connects, and sends batches."""

    def __init__(self, settings: Kafka, names: list[str], counters: metrics.CounterPage) -> None:
        """`names` are those of all topics at the broker. Raises ValueError for the settings."""
        self._settings = settings
        self._options = kafka_options.client_options(settings)
        self._compression = kafka_options.compression(settings)
        self._names = names
        self._counters = counters
        self._producer: AIOKafkaProducer | None = None
        self._broken: asyncio.Future[str] | None = None
        """Done, with the reason, once the present producer must go."""
        self._connected = asyncio.Event()
        self._asking = asyncio.Lock()
        self._said = _listen()

    @property
    def connected(self) -> bool:
        """True while there is a producer; the broker may be away nevertheless."""
        return self._connected.is_set()

    # -- its life

    async def run(self) -> None:
        """Keep a producer until cancelled; then end it."""
        pause, told = _FIRST_PAUSE, ""
        while True:
            try:
                producer = await self._connect()
            except (errors.KafkaError, OSError, TimeoutError, ValueError) as error:
                self._counters.add(_CONNECTS["failed"])
                text = self._said.text or _text(error)
                if text != told:
                    log.warning(
                        "Kafka cannot be reached; trying on",
                        servers=self._settings.bootstrap_servers,
                        detail=text,
                    )
                told = text
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._settings.reconnect_seconds)
                continue
            pause, told = _FIRST_PAUSE, ""
            self._counters.add(_CONNECTS["ok"])
            log.info("connected to Kafka", servers=self._settings.bootstrap_servers)
            self._broken = asyncio.get_running_loop().create_future()
            self._producer = producer
            self._connected.set()
            try:
                reason = await self._broken
                log.info("a new producer for Kafka", reason=reason)
            finally:
                self._connected.clear()
                self._producer = None
                if not self._broken.done():
                    self._broken.set_result("the end")
                await _end(producer)

    async def _connect(self) -> AIOKafkaProducer:
        self._said.text = ""
        producer = AIOKafkaProducer(
            enable_idempotence=True,
            acks="all",
            compression_type=self._compression,
            max_batch_size=self._settings.batch_bytes,
            max_request_size=self._settings.max_message_bytes + self._settings.batch_bytes,
            **self._options,
        )
        try:
            async with asyncio.timeout(3 * self._settings.request_seconds):
                await producer.start()
                await self._prepare(producer)
        except BaseException:
            await _end(producer)
            raise
        return producer

    async def _prepare(self, producer: AIOKafkaProducer) -> None:
        """Create what is missing, and follow what is there."""
        found = (await producer.client.fetch_all_metadata()).topics()
        missing = [name for name in self._names if name not in found]
        if missing and self._settings.create_topics:
            with contextlib.suppress(RefusedError):  # met again by whoever sends to it
                await self._create(producer, missing)
        await producer.client.set_topics(set(self._names) & (set(found) | set(missing)))

    def renew(self, reason: str) -> None:
        """Replace the producer."""
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(reason)
            self._connected.clear()
            self._producer = None

    # -- topics

    async def partitions(self, name: str) -> int:
        """Return the number of partitions of a topic; waits while no broker answers.

        Raises RefusedError if it is missing and not to be created, or may not be used.
        """
        while True:
            await self._connected.wait()
            producer = self._producer
            if producer is None:
                continue
            known = producer.client.cluster.partitions_for_topic(name)
            if known:
                return len(known)
            async with self._asking:
                try:
                    await self._find(producer, name)
                except (errors.KafkaError, OSError, TimeoutError):
                    await asyncio.sleep(_FIRST_PAUSE)

    async def _find(self, producer: AIOKafkaProducer, name: str) -> None:
        cluster = await producer.client.fetch_all_metadata()
        if name not in cluster.topics():
            if name in cluster.unauthorized_topics:
                raise RefusedError("unauthorized", f"{name} may not be described")
            if not self._settings.create_topics:
                raise RefusedError("unknown_topic", f"{name} does not exist")
            await self._create(producer, [name])
        await producer.client.add_topic(name)
        if not producer.client.cluster.partitions_for_topic(name):
            await asyncio.sleep(_FIRST_PAUSE)
            await producer.client.force_metadata_update()

    async def _create(self, producer: AIOKafkaProducer, names: list[str]) -> None:
        """Create topics. Raises RefusedError, naming one, if any cannot be."""
        brokers = len(producer.client.cluster.brokers()) or 1
        copies = self._settings.topic_replication or min(_REPLICATION, brokers)
        admin = AIOKafkaAdminClient(**self._options)
        try:
            await admin.start()
            wanted = [NewTopic(one, self._settings.topic_partitions, copies) for one in names]
            answer = await admin.create_topics(wanted)
        finally:
            await admin.close()
        refused = None
        for name, code, *detail in answer.topic_errors:
            error = errors.for_code(code)
            if error is errors.NoError:
                log.info("created a topic", topic=name)
            elif error is not errors.TopicAlreadyExistsError:
                unauthorized = issubclass(error, _AUTHORIZATION)
                reason = "unauthorized" if unauthorized else "unknown_topic"
                text = f"{name} cannot be created: {detail[0] if detail else error.message}"
                refused = RefusedError(reason, text)
        if refused is not None:
            raise refused

    # -- batches

    def batch(self) -> Any:
        """Return an empty batch: `append` takes messages until it returns None. Raises Away."""
        if self._producer is None:
            raise Away
        return self._producer.create_batch()

    async def send(self, name: str, partition: int, batch: Any) -> None:
        """Send a batch, and wait until all replicas in sync have it.

        Raises Away if the producer is replaced meanwhile, RejectedError if the batch can never be
        accepted, RefusedError if the topic takes nothing.
        """
        producer, broken = self._producer, self._broken
        if producer is None or broken is None:
            raise Away
        known = producer.client.cluster.partitions_for_topic(name)
        if not known or partition not in known:
            raise Away  # it was deleted: `partitions` finds out
        try:
            acknowledged = await producer.send_batch(batch, name, partition=partition)
        except errors.KafkaError as error:
            raise self._fault(name, error) from None
        acknowledged.add_done_callback(_consume)
        while True:
            waiting: set[asyncio.Future[Any]] = {acknowledged, broken}
            await asyncio.wait(waiting, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if acknowledged.done():
                fault = acknowledged.exception()
                if fault is not None:
                    raise self._fault(name, fault) from None
                return
            if broken.done():
                # The old producer ends in order if it can: no reason to send it twice.
                await asyncio.wait({acknowledged}, timeout=_STOP_SECONDS)
                if acknowledged.done() and acknowledged.exception() is None:
                    return
                raise Away
            if await self._gone(producer, name):
                self.renew(f"the topic {name} is gone")

    @staticmethod
    async def _gone(producer: AIOKafkaProducer, name: str) -> bool:
        with contextlib.suppress(errors.KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                return name not in (await producer.client.fetch_all_metadata()).topics()
        return False

    def _fault(self, name: str, error: BaseException) -> Exception:
        """Return what to raise for an error of the library."""
        text = _text(error)
        if isinstance(error, _TOO_BIG):
            self.renew("a batch was too big")
            return RejectedError("too_big", text)
        if isinstance(error, _AUTHORIZATION):
            self.renew("a batch was forbidden")
            return RefusedError("unauthorized", f"{name} may not be written")
        if isinstance(error, errors.InvalidTopicError):
            self.renew("a batch was refused")
            return RefusedError("unknown_topic", text)
        if isinstance(error, errors.BrokerResponseError) and not isinstance(error, _RENEW):
            if not error.retriable:
                self.renew("a batch was rejected")
                return RejectedError("rejected", text)
            return Away()
        self.renew(text)
        return Away()


_AUTHORIZATION: Final = (
    errors.TopicAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _consume(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop a producer, by force if it does not end: it would try for ever."""
    with contextlib.suppress(errors.KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await producer.stop()
        return
    task = producer._sender.sender_task  # there is no public way to give up
    if task is not None:
        task.cancel()
    with contextlib.suppress(errors.KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await producer.client.close()
