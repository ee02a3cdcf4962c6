"""The document of the pools: what is refused, by which number and field, and what is filled in."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.radius.configuration import (
    PoolsDocument,
    PoolsError,
    complete,
    pem,
    read,
    without_secrets,
)

from .rules import pool, server

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def radsec(**more: object):
    values = {"radsec_cert": PEM, "radsec_key": PEM, "radsec_cacerts": [PEM]} | more
    return pool(server("1", **values), radsec_pool_type="radsec")


def one(**more: object):
    return pool(server("1", **more))


BAD = {
    "two names": ([pool(server("1")), pool(server("1"))], 1138, "pools[1].name"),
    "long name": ([pool(server("1"), name="x" * 129)], 1138, "pools[0].name"),
    "two addresses": ([pool(server("1")), pool(server("1"), name="b")], 1003, "poolProxyIp"),
    "address": ([pool(server("1"), pool_proxy_ip="::1")], 1003, "pools[0].poolProxyIp"),
    "two defaults": (
        [pool(server("1"), use_by_default=True, name=name, pool_proxy_ip="") for name in "ab"],
        1003, "useByDefault",
    ),
    "keep-alive": ([pool(server("1"), radsec_keep_alive=0)], 1003, "radsecKeepAlive"),
    "port": ([one(port=0)], 1142, "pools[0].authConfig.servers[0].port"),
    "no secret": ([one(secret="")], 1142, "secret"),
    "long secret": ([one(secret="x" * 257)], 1142, "secret"),
    "negative weight": ([one(weight=-1)], 1143, "weight"),
    "weight": ([pool(server("1", 0), kind={"strategy": "weighted"})], 1143, "weight"),
    "many servers": ([pool(*[server("1")] * 65)], 1142, "servers"),
    "url": (
        [pool(server("1"), kind={"monitor": True, "monitor_method": "https",
                                 "method_parameters": ["http://x"]})],
        1140, "methodParameters[0]",
    ),
    "no certificate": ([radsec(radsec_cert="")], 1142, "radsecCert"),
    "no key": ([radsec(radsec_key="/etc/shadow")], 1142, "radsecKey"),
    "no authority": ([radsec(radsec_cacerts=[])], 1142, "radsecCacerts"),
    "authority": ([radsec(radsec_cacerts=[PEM, "x"])], 1142, "radsecCacerts[1]"),
    "radsec port": ([radsec(radsec_port=70_000)], 1142, "radsecPort"),
    "too large": ([pool(server("1"), description="x" * 1_000_000)], 1003, "document"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(case):
    pools, number, field = BAD[case]
    with pytest.raises(PoolsError) as refused:
        complete(PoolsDocument(pools=pools))
    assert refused.value.number == number
    assert field in str(refused.value)
    assert len(str(refused.value)) < 300


def test_an_enabled_pool_needs_a_server_and_a_disabled_one_does_not():
    with pytest.raises(PoolsError) as refused:
        complete(PoolsDocument(pools=[pool()]))
    assert refused.value.number == 1141
    complete(PoolsDocument(pools=[pool(enabled=False)]))


def test_addresses_are_given_in_turn_and_none_twice():
    pools = [pool(server("1"), name=str(n), pool_proxy_ip="") for n in range(300)]
    pools[5].pool_proxy_ip = "0.0.1.2"
    found = [one.pool_proxy_ip for one in complete(PoolsDocument(pools=pools)).pools]
    assert len(set(found)) == 300
    assert found[:3] == ["0.0.1.1", "0.0.1.3", "0.0.1.4"]
    assert not {"0.0.1.255", "0.0.2.0"} & set(found)


def test_radsec_takes_pem_as_it_is_and_in_base64():
    complete(PoolsDocument(pools=[radsec()]))
    encoded = base64.encodebytes(PEM.encode()).decode()
    complete(PoolsDocument(pools=[radsec(radsec_cert=encoded)]))
    assert pem(encoded) == pem(PEM) == PEM.encode()
    complete(PoolsDocument(pools=[radsec(radsec_cacerts=[], allow_self_signed=True, secret="")]))


def test_secrets_are_taken_out_of_a_copy():
    document = PoolsDocument(pools=[radsec(radsec_secret="hush-1", secret="hush-2")])
    shown = msgspec.json.encode(without_secrets(document))
    assert b"hush" not in shown
    assert b"hush" in msgspec.json.encode(document)
    key = msgspec.json.decode(shown)["pools"][0]["authConfig"]["servers"][0]
    assert (key["radsecKey"], key["radsecCert"]) == ("", PEM)


def test_the_names_of_the_document_are_those_of_owgw():
    found = msgspec.to_builtins(PoolsDocument(pools=[radsec()]))["pools"][0]
    assert set(found) == {
        "name", "description", "authConfig", "acctConfig", "coaConfig", "radsecPoolType",
        "poolProxyIp", "radsecKeepAlive", "useByDefault", "enabled",
    }  # fmt: skip
    assert set(found["authConfig"]) == {
        "strategy", "monitor", "monitorMethod", "methodParameters", "servers",
    }  # fmt: skip
    assert set(found["authConfig"]["servers"][0]) == {
        "name", "ip", "port", "weight", "secret", "certificate", "radsec", "allowSelfSigned",
        "radsecPort", "radsecSecret", "radsecKey", "radsecCert", "radsecCacerts", "radsecRealms",
        "ignore",
    }  # fmt: skip


LEAVES = st.one_of(st.text(max_size=5), st.integers(-5, 70_000), st.booleans(), st.none())
SERVERS = st.lists(
    st.dictionaries(
        st.sampled_from(["name", "ip", "port", "weight", "secret", "radsecPort", "radsecCert"]),
        st.one_of(LEAVES, st.just("10.0.0.1")),
    ),
    max_size=3,
)
KINDS = st.fixed_dictionaries(
    {"servers": SERVERS},
    optional={"strategy": st.sampled_from(["random", "weighted", "x"]), "monitor": st.booleans()},
)
POOLS = st.lists(
    st.fixed_dictionaries(
        {"name": st.text(max_size=4), "authConfig": KINDS},
        optional={"radsecPoolType": st.sampled_from(["generic", "radsec", "x"]),
                  "poolProxyIp": LEAVES},
    ),
    max_size=4,
)  # fmt: skip


@given(POOLS)
def test_any_document_is_accepted_or_refused(pools):
    try:
        document = msgspec.convert({"pools": pools}, PoolsDocument)
        complete(document)
    except (msgspec.ValidationError, PoolsError) as error:
        assert str(error)  # noqa: PT017 - either is fine
        return
    assert read(msgspec.json.encode(document)) == document
