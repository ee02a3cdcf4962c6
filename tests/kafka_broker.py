"""An Apache Kafka broker of our own for tests: KRaft mode, from its jars, on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

DEADLINE = 90.0
USER = "gw"
PASSWORD = "p@ss; word"
"""With signs that mean something in a JAAS configuration."""
LISTENERS = ("PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL")
_POM = Path(__file__).parent / "kafka_jars" / "pom.xml"
_HOW = (
    "Kafka's broker is not on this machine: `apt-get install openjdk-17-jre-headless maven`, "
    "then `deploy/dev/kafka-jars` downloads its jars"
)
_JAVA_OPTIONS = (
    "-Xms96m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
    "-XX:-UsePerfData", "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)  # fmt: skip


def jars() -> Path:
    """Return the folder with the broker's jars; without them or Java skip, and in CI fail."""
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "gw-tests" / f"kafka-{digest}"
    if folder.is_dir() and shutil.which("java"):
        return folder
    if os.environ.get("CI"):
        pytest.fail(_HOW, pytrace=False)
    pytest.skip(_HOW)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


class KafkaBroker:
    """One broker with a folder of its own, that is controller of its cluster too.

    It has a listener for each of `LISTENERS`; on those with SASL the user `gw` may sign in with
    PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. Whoever comes without SASL may do all; `gw` too until an
    access rule says otherwise. Topics are not made by themselves. `pki`: folder of a PKI whose
    server certificate it shows. `joins`: a broker whose cluster it enters, not as
    controller.
    """

    def __init__(self, pki: Path, *, joins: KafkaBroker | None = None, **settings: object) -> None:
        self._jars = jars()
        self._pki = pki
        self._settings = settings
        self._joins = joins
        self.node = 1 if joins is None else joins.node + 1
        self.cluster = secrets.token_urlsafe(16) if joins is None else joins.cluster
        self.folder = Path(tempfile.mkdtemp(prefix="gw-kafka-"))
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = self.folder / "server.log"

    # -- life

    def create(self, *, running: bool = True) -> None:
        """Make the cluster, and start it unless `running` is false."""
        names = (*LISTENERS, "CONTROLLER")
        self.ports = dict(zip(names, _free_ports(len(names)), strict=True))
        certificate, key = self._pki / "server.pem", self._pki / "server.key"
        keystore = self.folder / "server-keystore.pem"
        keystore.write_text(key.read_text() + certificate.read_text())
        lines = [f"{name}={value}\n" for name, value in self._properties(keystore).items()]
        (self.folder / "server.properties").write_text("".join(lines))
        arguments = ["format", "-t", self.cluster, "-c", str(self.folder / "server.properties")]
        if self._joins is None:
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                arguments += ["-S", f'{mechanism}=[name="{USER}",password="{PASSWORD}"]']
        made = subprocess.run(
            self._java("kafka.tools.StorageTool", *arguments),
            check=False, capture_output=True, text=True, cwd=self.folder,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        if running:
            self.start()

    def _properties(self, keystore: Path) -> dict[str, Any]:
        listeners = [f"{name}://127.0.0.1:{self.ports[name]}" for name in LISTENERS]
        protocols = [f"{name}:{name}" for name in LISTENERS]
        controller = self._joins or self
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        found: dict[str, Any] = {
            "process.roles": "broker,controller" if self._joins is None else "broker",
            "node.id": self.node,
            "controller.quorum.voters":
                f"{controller.node}@127.0.0.1:{controller.ports['CONTROLLER']}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": ",".join([*protocols, "CONTROLLER:PLAINTEXT"]),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self.folder / "data",
            # As few threads and as little memory as it runs with.
            "num.network.threads": 1, "num.io.threads": 2, "background.threads": 1,
            "num.replica.fetchers": 1, "num.recovery.threads.per.data.dir": 1,
            "log.cleaner.dedupe.buffer.size": 2_097_152, "queued.max.requests": 50,
            "log.segment.bytes": 67_108_864, "log.index.size.max.bytes": 1_048_576,
            "group.initial.rebalance.delay.ms": 0, "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": 1, "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            # A killed broker may come back only after its session has run out.
            "broker.session.timeout.ms": 2000, "broker.heartbeat.interval.ms": 500,
            "controlled.shutdown.enable": "false" if self._joins is None else "true",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true", "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": keystore,
            "ssl.truststore.type": "PEM", "ssl.truststore.location": self._pki / "ca.pem",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        }  # fmt: skip
        if self._joins is None:
            found["listeners"] += f",CONTROLLER://127.0.0.1:{self.ports['CONTROLLER']}"
        for name in ("sasl_plaintext", "sasl_ssl"):
            prefix = f"listener.name.{name}"
            found[f"{prefix}.plain.sasl.jaas.config"] = f'{plain} user_{USER}="{PASSWORD}";'
            found[f"{prefix}.scram-sha-256.sasl.jaas.config"] = scram
            found[f"{prefix}.scram-sha-512.sasl.jaas.config"] = scram
        return found | {name.replace("_", "."): value for name, value in self._settings.items()}

    def _java(self, main: str, *arguments: str) -> list[str]:
        return ["java", *_JAVA_OPTIONS, "-cp", f"{self._jars}/*", main, *arguments]

    def start(self) -> None:
        """Start the broker, on the ports that it had, and wait until it serves."""
        command = self._java("kafka.Kafka", str(self.folder / "server.properties"))
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        # Ends it should the tests be killed: the pipe closes then.
        end = f"cat >/dev/null; kill -KILL {self.process.pid}"
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", end], stdin=subprocess.PIPE, start_new_session=True
        )
        self.wait()

    def wait(self) -> None:
        """Wait until the broker answers, and leads what it has."""
        deadline = time.monotonic() + DEADLINE
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.ports["PLAINTEXT"]), 5.0).close()
                break
            time.sleep(0.05)  # another process gets ready: there is no event to await
        while True:
            with contextlib.suppress(KafkaException):
                found = self.admin().list_topics(timeout=5.0)
                leaders = [
                    one.leader for topic in found.topics.values()
                    for one in topic.partitions.values()
                ]  # fmt: skip
                if self.node in found.brokers and -1 not in leaders:
                    return
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)  # the same

    def log(self) -> str:
        """Return the end of what the broker logged."""
        return self.log_file.read_text(errors="replace")[-8000:]

    def _ended(self) -> None:
        """The broker is gone: nobody may guard its pid any longer."""
        self.process = None
        self._guard.kill()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(DEADLINE)

    def stop(self) -> None:
        """Stop it in order; it may be started again."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(DEADLINE)
            self._ended()

    def kill(self) -> None:
        """SIGKILL, as a power cut does but for the page cache."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE)
        self._ended()

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it, and delete everything."""
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder)

    # -- use

    def address(self, listener: str = "PLAINTEXT") -> str:
        """Return `host:port` of a listener, for `kafka.bootstrap_servers`."""
        return f"127.0.0.1:{self.ports[listener]}"

    def admin(self) -> AdminClient:
        """Return a client that may do all."""
        return AdminClient({"bootstrap.servers": self.address(), "log_level": 0})

    def make_topics(
        self, *names: str, partitions: int = 3, replication: int = 1, **config: object
    ) -> None:
        """Make topics; one that exists stays. `config` has underscores where Kafka has dots."""
        chosen = {name.replace("_", "."): str(value) for name, value in config.items()}
        wanted = [NewTopic(name, partitions, replication, config=chosen) for name in names]
        admin = self.admin()  # held: results come only as long as it is there
        for name, made in admin.create_topics(wanted, operation_timeout=DEADLINE).items():
            fault = made.exception(DEADLINE)
            if isinstance(fault, KafkaException):
                assert fault.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, name
        deadline = time.monotonic() + DEADLINE
        while not set(names) <= self.topics().keys():
            assert time.monotonic() < deadline, f"{names} are not there"
            time.sleep(0.02)  # a broker learns of it some time after the controller

    def delete_topics(self, *names: str) -> None:
        """Delete topics; those that do not exist do not matter."""
        admin = self.admin()
        for one in admin.delete_topics(list(names), operation_timeout=DEADLINE).values():
            with contextlib.suppress(KafkaException):
                one.result(DEADLINE)
        deadline = time.monotonic() + DEADLINE
        while self.topics().keys() & set(names):
            assert time.monotonic() < deadline, f"{names} are still there"
            time.sleep(0.02)  # a broker learns of it some time after the controller

    def forbid_writing(self, topic: str) -> None:
        """The user `gw` may see a topic, and not write it, from now on."""
        rules = [
            AclBinding(
                ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{USER}", "*",
                operation, permission,
            )
            for operation, permission in (
                (AclOperation.DESCRIBE, AclPermissionType.ALLOW),
                (AclOperation.WRITE, AclPermissionType.DENY),
            )
        ]  # fmt: skip
        admin = self.admin()
        for one in admin.create_acls(rules).values():
            one.result(DEADLINE)
        asked = AclBindingFilter(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, None, None,
            AclOperation.ANY, AclPermissionType.ANY,
        )  # fmt: skip
        deadline = time.monotonic() + DEADLINE
        while len(admin.describe_acls(asked).result(DEADLINE)) < len(rules):
            assert time.monotonic() < deadline, "the rules do not hold yet"
            time.sleep(0.02)  # a broker learns of them some time after the controller

    def topics(self) -> dict[str, int]:
        """Return the number of partitions of each topic, without internal ones."""
        found = self.admin().list_topics(timeout=DEADLINE).topics
        return {
            name: len(topic.partitions) for name, topic in found.items() if name[:2] != "__"
        }  # fmt: skip

    def reader(self, *topics: str, **settings: Any) -> Reader:
        """Return an independent consumer of these topics, from their beginnings."""
        return Reader(self, topics, settings)


class Reader:
    """Reads whole topics with librdkafka: a consumer that shares no code with the producer."""

    def __init__(self, broker: KafkaBroker, topics: tuple[str, ...], settings: dict[str, Any]):
        self._topics = topics
        self._broker = broker
        self._errors: list[KafkaError] = []
        self._consumer = Consumer(
            {
                "error_cb": self._errors.append,
                "bootstrap.servers": broker.address(), "group.id": secrets.token_hex(4),
                "enable.auto.commit": False, "log_level": 0, "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 500, "allow.auto.create.topics": False,
            } | settings
        )  # fmt: skip
        self._positions: dict[tuple[str, int], int] = {}
        self.messages: list[Any] = []
        """All that was read: confluent_kafka.Message."""

    def read_until(self, enough: Any) -> list[Any]:
        """Read until `enough(messages)`; returns all that were read so far."""
        deadline = time.monotonic() + DEADLINE
        while not enough(self.messages):
            assert time.monotonic() < deadline, f"{len(self.messages)} messages of {self._topics}"
            self._assign()
            for message in self._consumer.consume(1000, timeout=0.2):
                if message.error() is None:
                    self.messages.append(message)
                    key = (message.topic(), message.partition())
                    self._positions[key] = message.offset() + 1
        return self.messages

    def refused(self) -> bool:
        """Tell whether the broker did not let the consumer in."""
        return any(one.code() == KafkaError._AUTHENTICATION for one in self._faults())

    def _faults(self) -> Iterator[KafkaError]:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and not self._errors:
            self._consumer.poll(0.1)
        yield from self._errors

    def _assign(self) -> None:
        """Read every partition there is now: topics may be made late."""
        with contextlib.suppress(KafkaException):
            found = self._consumer.list_topics(timeout=5.0).topics
            new = [
                (name, partition)
                for name in self._topics if name in found
                for partition in found[name].partitions
                if (name, partition) not in self._positions
            ]  # fmt: skip
            if new:
                self._positions |= dict.fromkeys(new, 0)
                self._consumer.assign(
                    [TopicPartition(*key, at) for key, at in self._positions.items()]
                )

    def close(self) -> None:
        """End it."""
        self._consumer.close()
