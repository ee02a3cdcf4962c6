"""Schemas: those of others load as they are, and each problem is named with its place."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gw._native import ConfigError, config_hash
from gw.validation.examination import COMPARED_SIZE, Device, examine
from gw.validation.schema import LISTED_SIZE, Schema, SchemaError, SchemaFailure
from gw.validation.schemas import Schemas

PUBLISHED = (Path(__file__).parent / "published_style.schema.json").read_bytes()
VECTORS = json.loads((Path(__file__).parent / "configurations.json").read_text())
BUILT_IN = Schemas()


def problems(schema, document, most=50):
    found = examine(json.dumps(document).encode(), Device(), schema, most)
    return {one.path: one.description for one in found.problems}


@pytest.fixture(scope="module")
def published():
    return Schema(PUBLISHED, "published")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "ap") for name in VECTORS]
    + [(name, "switch") for name in VECTORS if "radios" not in VECTORS[name]],
)
def test_own_schemas_take_configurations_of_the_field(name, kind):
    assert problems(BUILT_IN.of(kind), VECTORS[name]) == {}


@pytest.mark.parametrize("kind", ["ap", "switch"])
@pytest.mark.parametrize(
    "document", [{}, {"a": 1}, {"unit": {"made-up": [None]}}, {"uuid": "7", "x": {"y": []}}]
)
def test_own_schemas_take_what_they_do_not_know(kind, document):
    assert problems(BUILT_IN.of(kind), document) == {}


@pytest.mark.parametrize(
    ("document", "path", "part"),
    [
        ({"radios": {}}, "radios", 'not of type "array"'),
        ({"radios": [{"band": "7G"}]}, "radios/0/band", '(it is "7G")'),
        ({"radios": [{"channel": 0}]}, "radios/0/channel", "(it is 0)"),
        ({"radios": [{"channel": "automatic"}]}, "radios/0/channel", "none of the alternatives"),
        ({"radios": [{}, {"channel-width": 30}]}, "radios/1/channel-width", "(it is 30)"),
        ({"unit": []}, "unit", 'not of type "object"'),
        ({"unit": {"leds-active": "on"}}, "unit/leds-active", 'not of type "boolean"'),
        (
            {"interfaces": [{"ssids": [{"name": "x" * 33}]}]},
            "interfaces/0/ssids/0/name",
            "longer than 32",
        ),
        (
            {"interfaces": [{"ipv4": {"subnet": "10.0.0.0/40"}}]},
            "interfaces/0/ipv4/subnet",
            "format uc-cidr4",
        ),
        ({"services": {"ntp": {"servers": ["a b"]}}}, "services/ntp/servers/0", "format uc-host"),
        ({"definitions": {"wireless-encryption": {"a/b": 1}}},
         "definitions/wireless-encryption/a~1b", 'not of type "object"'),
    ],
)  # fmt: skip
def test_own_schema_names_what_is_wrong(document, path, part):
    found = problems(BUILT_IN.of("ap"), document)
    assert list(found) == [path]
    assert part in found[path]


def test_secrets_are_not_repeated():
    ssid = {"name": "x", "encryption": {"proto": "psk2", "key": "hunter2"}}
    radius = {"authentication": {"secret": 4242424242}}
    document = {"interfaces": [{"ssids": [ssid | {"radius": radius}]}]}
    found = problems(BUILT_IN.of("ap"), document)
    assert len(found) == 2
    assert "shorter than 8" in found["interfaces/0/ssids/0/encryption/key"]
    assert "hunter2" not in str(found)
    assert "4242424242" not in str(found)


def test_published_style_loads_as_it_is(published):
    assert published.name == "https://example.org/style.schema.json"
    valid = {
        "uuid": 7,
        "unit": {"hostname": "ap-1", "certificate": "YWJj"},
        "globals": {"ipv4-network": "192.168.0.0/16", "wireless-multimedia": {"profile": "3gpp"}},
        "radios": [{"band": "5G", "channel": "auto"}, {"band": "2G", "channel": 6}],
        "interfaces": [
            {
                "role": "upstream",
                "ethernet": [{"select-ports": ["WAN*"], "macaddr": "24-f5-a2-07-a1-30"}],
                "ipv4": {"subnet": "auto/24", "lease-time": "6h", "dns": ["::1", "10.0.0.1"]},
                "ports": [80, "8000-8010"],
                "broad-band": {"protocol": "pppoe", "user-name": "a"},
            }
        ],
        "services": {"log": {"host": "log.example.org"}, "portal": {"uri": "https://x.org/"}},
    }
    assert problems(published, valid) == {}


def test_published_style_names_every_problem(published):
    document = {
        "uuid": "7",
        "unit": {"hostname": "-", "certificate": "YWJ"},
        "globals": {"ipv4-network": "192.168.0.0", "ipv6-network": "fd::/200",
                    "wireless-multimedia": {"profile": "5gpp"}},
        "radios": [{"band": "9G", "channel": 400}],
        "interfaces": [
            {
                "ethernet": [{"select-ports": ["WAN*", 5], "macaddr": "24f5a207a130"}],
                "ipv4": {"subnet": "10.0.0.0/33", "lease-time": "6", "dns": ["dns.example.org"]},
                "ports": ["0-9"],
                "broad-band": {"protocol": "pppoe", "user-name": 5},
            }
        ],
        "services": {"log": {"host": "a b", "fqdn": "a..b", "network": "10/8"},
                     "portal": {"uri": "x y"}, "none": 1},
    }  # fmt: skip
    found = problems(published, document)
    assert set(found) == {
        "uuid", "unit/hostname", "unit/certificate", "globals/ipv4-network",
        "globals/ipv6-network", "globals/wireless-multimedia/profile", "radios/0/band",
        "radios/0/channel", "interfaces/0", "interfaces/0/ethernet/0/select-ports/1",
        "interfaces/0/ethernet/0/macaddr", "interfaces/0/ipv4/subnet",
        "interfaces/0/ipv4/lease-time", "interfaces/0/ipv4/dns/0", "interfaces/0/ports/0",
        "interfaces/0/broad-band/user-name", "services/log/host", "services/log/fqdn",
        "services/log/network", "services/portal/uri", "services",
    }  # fmt: skip
    assert found["interfaces/0"] == '"role" is a required property'
    assert "none" in found["services"]


WHOLE = {
    "keywords": (
        "$defs $id $ref $schema additionalProperties allOf anyOf const decription default enum "
        "example examples format items maxLength maximum minItems minLength minimum oneOf pattern "
        "patternProperties properties required type"
    ),
    "formats": (
        "hostname ipv4 ipv6 uc-base64 uc-cidr uc-cidr4 uc-cidr6 uc-fqdn uc-host uc-ip uc-mac "
        "uc-mobility uc-portrange uc-timeout uri"
    ),
}
"""All that the community's schema of access points has (wlan-ucentral-schema, 132 KB)."""


def test_published_style_has_all_that_the_published_schema_has():
    words = set(re.findall(r'"([^"]+)"', PUBLISHED.decode()))
    assert set(WHOLE["keywords"].split()) | set(WHOLE["formats"].split()) <= words


@pytest.mark.parametrize(
    ("wireless", "path", "part"),
    [
        ({"portal": {"mode": "server", "server": "10.0.0.1", "garden": ["a.example.org"]}}, "", ""),
        ({"portal": {"mode": "click", "idle": 5, "terms": {}}, "roaming": True}, "", ""),
        ({"keys": {"guest": {"key": "password", "language": "eng", "more": 1}}}, "", ""),
        ({"forward": {"to": "10.0.0.1", "to6": "fd::1", "message": "x"}}, "", ""),
        ({"portal": {"mode": "server", "server": "a.example.org"}}, "/portal/server", "uc-ip"),
        ({"portal": {"mode": "server", "port": 80}}, "/portal/port", "minimum of 1024"),
        ({"portal": {"mode": "none"}}, "/portal", "none of the alternatives"),
        ({"portal": {"mode": "click", "garden": ["a b"]}}, "/portal/garden/0", "hostname"),
        ({"portal": {"mode": "click", "idle": "5"}}, "/portal/idle", "integer"),
        ({"keys": {"a/b": {"key": "short"}}}, "/keys/a~1b/key", "shorter than 8"),
        ({"keys": {"a": {"language": "EN"}}}, "/keys/a/language", "does not match"),
        ({"roaming": {"key": "x" * 64}}, "/roaming/key", "longer than 63"),
        ({"roaming": 5}, "/roaming", "none of the alternatives"),
        ({"forward": {"to6": "fd::1"}}, "/forward", '"to" is a required'),
        ({"forward": {"to": "fd::1"}}, "/forward/to", "ipv4"),
        ({"forward": {"to": "10.0.0.1", "to6": "10.0.0.1"}}, "/forward/to6", "ipv6"),
    ],
)
def test_published_style_of_wireless(published, wireless, path, part):
    found = problems(published, {"interfaces": [{"role": "upstream"}], "wireless": wireless})
    assert list(found) == ([f"wireless{path}"] if path else [])
    assert all(part in text for text in found.values())


def test_published_style_of_raw_parts(published):
    document = {"raw": [["set", "a.b", "c"], ["set"], "x"], "third-party": {"any": [None]}}
    assert set(problems(published, document)) == {"raw/1", "raw/2"}
    assert set(problems(published, {"third-party": []})) == {"third-party"}


def test_context_is_that_of_the_reference():
    text = b'{"radios":[{"channel-width":3}]}'
    found = examine(text, Device(), BUILT_IN.of("ap"), 50)
    assert found.problems[0].context == ["radios", "0", "channel-width"]


@pytest.mark.parametrize(
    "text",
    [
        b"", b"[]", b"{", b'"x"', b'{"type":"thing"}', b'{"properties":{"a":{"pattern":"("}}}',
        b'{"$ref":"#/$defs/absent"}', b'{"$ref":"http://127.0.0.1:1/x"}',
        b'{"$ref":"file:///etc/passwd"}', b'{"$schema":"http://example.org/none"}', b"\xff",
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_schema_is_refused_by_name(text):
    with pytest.raises(SchemaError, match="somewhere: "):
        Schema(text, "somewhere")


def test_what_a_schema_refers_to_is_never_fetched(tmp_path):
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(SchemaError):
        Schema(json.dumps({"$ref": other.as_uri()}).encode(), "somewhere")


def test_problems_are_bounded_in_number_and_length():
    document = {"radios": [{"band": "x" * 5000}] * 300, "y" * 5000: {"select-ports": [0]}}
    found = examine(json.dumps(document).encode(), Device(), BUILT_IN.of("ap"), 7)
    assert len(found.problems) == 7
    assert found.omitted == 294
    assert found.problems[0].path.endswith("/select-ports/0")
    for one in found.problems:
        assert len(one.path) < 300
        assert len(one.description) <= 200


def test_a_giant_document_costs_one_problem():
    entries = LISTED_SIZE * 10
    document = {"config-raw": [0] * entries}
    found = examine(json.dumps(document).encode(), Device(), BUILT_IN.of("ap"), 50)
    assert [one.path for one in found.problems] == ["config-raw/0"]
    assert found.omitted == 1


def test_deep_documents_are_refused_before_they_are_looked_at():
    text = b'{"a":' * 100 + b"1" + b"}" * 100
    with pytest.raises(ConfigError):
        examine(text, Device(), BUILT_IN.of("ap"), 50)
    deepest = b'{"a":' * 63 + b"1" + b"}" * 63
    assert examine(deepest, Device(stored=b"{}"), BUILT_IN.of("ap"), 50).problems == []


def test_a_pattern_that_backtracks_without_end_is_a_problem_of_the_text():
    schema = Schema(rb'{"properties":{"a":{"pattern":"^(?=(a+)+$)(\\w+)\\1*$"}}}', "slow")
    assert list(problems(schema, {"a": "a" * 5000 + "!"})) == ["a"]


def test_a_schema_that_refers_to_itself_ends():
    schema = Schema(
        b'{"$defs":{"n":{"type":"object","additionalProperties":{"$ref":"#/$defs/n"}}},'
        b'"$ref":"#/$defs/n"}',
        "tree",
    )
    text = b'{"a":' * 60 + b"1" + b"}" * 60
    found = examine(text, Device(), schema, 50)
    assert [one.path for one in found.problems] == ["/".join(["a"] * 60)]


def test_a_validator_that_breaks_is_told_apart(monkeypatch):
    schema = Schema(b"{}", "broken")

    class Broken:
        def is_valid(self, _):
            raise RuntimeError("boom")

    monkeypatch.setattr(schema, "_validator", Broken())
    with pytest.raises(SchemaFailure):
        schema.examine({}, 1, 1)
    found = examine(b'{"unit":{"system-password":1}}', Device(), schema, 50)
    assert found.failure == "RuntimeError"
    assert [one.path for one in found.problems] == ["unit/system-password"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["unit", "radios", "interfaces", "ssids", "select-ports", "band", "channel", "ipv4",
                 "ethernet", "encryption", "key", "subnet", "system-password"]
            ) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(["unit", "radios", "interfaces", "ethernet", "x"]), JSON))
def test_any_document_is_judged(document):
    text = json.dumps(document).encode()
    try:
        config_hash(text)
    except ConfigError:
        return
    device = Device("switch", b'{"platform":"ap","network":{"lan":["eth0"]}}', b'{"unit":{"a":1}}')
    for kind in ("ap", "switch"):
        found = examine(text, device, BUILT_IN.of(kind), 50)
        assert found.failure == ""


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" + "0" * 5000, "1e-400", "0e99999999999"])
def test_numbers_beyond_doubles(number):
    text = b'{"radios":[{"channel":%s}],"x":%s}' % (number.encode(), number.encode())
    found = examine(text, Device(stored=text), BUILT_IN.of("ap"), 50)
    assert [one.path for one in found.problems] == ["radios/0/channel"]
    assert (found.changes.added, found.changes.changed) == ([], [])


def test_files_are_read_again_when_they_change(tmp_path, monkeypatch):
    file = tmp_path / "own.json"
    file.write_text('{"title":"one","required":["a"]}')
    schemas = Schemas(str(file))
    assert schemas.of("ap").name == schemas.of("").name == "one"
    assert schemas.of("switch").name == schemas.of("SWITCH").name == "urn:gw:schema:switch:1"
    moment = 1e9
    monkeypatch.setattr("time.monotonic", lambda: moment)
    assert not schemas.changed()
    file.write_text('{"title":"number two"}')
    assert not schemas.changed(), "looked at again within a second"
    moment += 2
    assert schemas.changed()
    assert schemas.reload() == []
    assert schemas.of("ap").name == "number two"
    file.write_text("{")
    moment += 2
    assert schemas.changed()
    (fault,) = schemas.reload()
    assert fault.startswith(f"{file}: not JSON")
    assert schemas.of("ap").name == "number two"
    moment += 2
    assert not schemas.changed(), "the same wrong file would be read each second"
    file.unlink()
    moment += 2
    assert schemas.changed()
    assert schemas.reload() == [f"{file}: No such file or directory"]


@pytest.mark.parametrize("text", [None, "{"])
def test_a_wrong_file_is_refused_at_the_start(tmp_path, text):
    file = tmp_path / "own.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SchemaError, match=str(file)):
        Schemas("", str(file))


@pytest.mark.parametrize("name", ["0", "1", "a/b", "~", "a~1b", "ü", "\n", "-1", "99999999999"])
def test_places_with_unusual_names(name):
    document = {"definitions": {"wireless-encryption": {name: {"ieee80211w": "maybe"}}}}
    found = examine(json.dumps(document).encode(), Device(), BUILT_IN.of("ap"), 50)
    (one,) = found.problems
    assert one.context == ["definitions", "wireless-encryption", name, "ieee80211w"]
    assert '(it is "maybe")' in one.description


@pytest.mark.parametrize("name", ["", "00", "+1"])
def test_names_that_the_library_does_not_give_back_are_no_way_round(name):
    document = {"definitions": {"wireless-encryption": {name: {"ieee80211w": "maybe"}}}}
    found = examine(json.dumps(document).encode(), Device(), BUILT_IN.of("ap"), 50)
    assert len(found.problems) == 1
    assert found.failure == ""


def test_a_schema_that_says_no_without_a_reason_is_no_yes(monkeypatch):
    schema = Schema(b"{}", "silent")

    class Silent:
        def is_valid(self, _):
            return False

        def iter_errors(self, _):
            return iter(())

        def validate(self, _):
            pass

    monkeypatch.setattr(schema, "_validator", Silent())
    for values in (1, LISTED_SIZE + 1):
        findings = schema.examine({}, values, 50)
        assert [one.description for one in findings.problems] == ["does not satisfy the schema"]


def test_what_is_too_much_to_compare_is_not_compared():
    text = json.dumps({"a": [0] * COMPARED_SIZE}).encode()
    assert examine(text, Device(stored=b"{}"), BUILT_IN.of("ap"), 50).changes is None
