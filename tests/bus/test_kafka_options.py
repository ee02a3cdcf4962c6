"""The settings of Kafka: what the client gets, and what is refused by name."""

from __future__ import annotations

import pytest

from gw.bus import kafka_options
from gw.bus.open import open_bus
from gw.bus.topics import STATE, TOPICS
from gw.core.settings import Bus, Kafka, Settings
from gw.ops import metrics
from gw.ops.health_bus import bus_faults, kafka_findings


def kafka(**more: object) -> Kafka:
    return Kafka(**({"bootstrap_servers": "a:9092"} | more))


def test_servers_and_security():
    found = kafka_options.client_options(kafka(bootstrap_servers=" a:9092, [::1]:9093 ,"))
    assert found["bootstrap_servers"] == ["a:9092", "[::1]:9093"]
    assert found["security_protocol"] == "PLAINTEXT"
    signed = {"sasl_mechanism": "SCRAM-SHA-512", "username": "gw", "password": "secret"}
    assert kafka_options.client_options(kafka(**signed))["security_protocol"] == "SASL_PLAINTEXT"
    found = kafka_options.client_options(kafka(**signed, tls=True))
    assert found["security_protocol"] == "SASL_SSL"
    assert found["ssl_context"].check_hostname
    assert found["sasl_plain_password"] == "secret"
    assert kafka_options.client_options(kafka(tls=True))["security_protocol"] == "SSL"


def test_names_of_topics():
    names = kafka_options.topic_names(
        kafka(topic_prefix="fleet.", topic_names=["state=states"]), TOPICS
    )
    assert names[STATE] == "fleet.states"
    assert names["connection"] == "fleet.connection"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bootstrap_servers": "a"}, "kafka.bootstrap_servers: 'a' is not host:port"),
        ({"bootstrap_servers": "a:99999"}, "kafka.bootstrap_servers: 'a:99999'"),
        ({"bootstrap_servers": " , "}, "kafka.bootstrap_servers: no server"),
        ({"topic_prefix": "a b"}, "'a bconnection' is no name of a topic"),
        ({"topic_names": ["states=x"]}, "kafka.topic_names: 'states=x' is not topic=name"),
        ({"topic_names": ["state=alerts"]}, "two topics have the same name"),
        ({"sasl_mechanism": "SCRAM-SHA-256"}, "kafka.username and kafka.password must be set"),
        ({"username": "gw"}, "of no use without sasl_mechanism"),
        (
            {"sasl_mechanism": "PLAIN", "username": "gw", "password": "secret"},
            "PLAIN shows the password; it needs kafka.tls",
        ),
        ({"ca_file": "/x"}, "of no use without kafka.tls"),
        ({"tls": True, "ca_file": "/nowhere"}, "kafka.ca_file /nowhere: "),
        ({"tls": True, "key_file": "/x"}, "one without the other"),
        (
            {"tls": True, "key_file": "/nowhere", "certificate_file": "/nowhere"},
            "kafka.certificate_file /nowhere, kafka.key_file /nowhere: ",
        ),
    ],
)
def test_faults_name_the_setting(settings, text):
    (found,) = bus_faults(Settings(kafka=kafka(**settings)))
    assert text in found
    assert "secret" not in found


async def test_the_bus_refuses_them_too(tmp_path):
    counters = metrics.CounterPage.private()
    both = Settings(kafka=kafka(), bus=Bus(file=str(tmp_path / "events")))
    with pytest.raises(ValueError, match="only one of them"):
        open_bus(both, counters)
    (tmp_path / "spool" / "state").mkdir(parents=True)
    (tmp_path / "spool" / "state" / "00000000000000000001.spool").write_bytes(b"something else")
    foreign = Settings(kafka=kafka(spool_dir=str(tmp_path / "spool")))
    with pytest.raises(ValueError, match=r"kafka.spool_dir: .* is no segment of a spool"):
        open_bus(foreign, counters)


def test_the_doctor_asks_the_broker(kafka_broker):
    settings = Settings(
        kafka=kafka(
            bootstrap_servers=kafka_broker.address(), topic_prefix="nobody-", create_topics=False
        )
    )
    first, second = kafka_findings(settings)
    assert "1 broker at hand" in first.text
    assert "nobody-state" in second.text
    settings.kafka.bootstrap_servers = "127.0.0.1:1"
    (found,) = kafka_findings(settings)
    assert "kafka.bootstrap_servers: no broker answers" in found.text
    assert list(kafka_findings(Settings())) == []
