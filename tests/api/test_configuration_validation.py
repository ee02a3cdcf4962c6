"""Validation before anything is stored: what is refused, what is warned of, and dry runs."""

import json

import pytest
import structlog.testing

from gw.api.configuration_validation import ConfigurationValidation
from gw.store.interface import Batch, PutCapabilities
from gw.validation.schemas import Schemas

AP = "24f5a207a130"
SWITCH = "24f5a207a131"
NEW = "24f5a207a139"
WRONG = {"radios": [{"band": "7G", "channel": 0}], "unit": {"leds-active": 1}}
PLACES = {"radios/0/band", "radios/0/channel", "unit/leds-active"}
ABLE = {"platform": "ap", "wifi": {"phy0": {"band": ["2G"], "channels": [1, 6, 11]}}}

pytestmark = pytest.mark.usefixtures("devices")


@pytest.fixture
async def able(store):
    await store.commit(Batch([PutCapabilities(AP, json.dumps(ABLE), 1)]))


def order(configuration, serial=AP):
    return {"serialNumber": serial, "UUID": 1, "configuration": configuration}


def problems(answer):
    """The array in the parentheses of error 1008 (northbound.md 5)."""
    assert answer.status_code == 400
    text = answer.json()["ErrorDescription"]
    head = "1008: The configuration is invalid. ("
    assert text.startswith(head)
    return json.loads(text[len(head) : -1])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"/device/{AP}/configure", order(WRONG)),
        ("POST", f"/device/{NEW}", {"serialNumber": NEW, "configuration": WRONG}),
        ("PUT", f"/device/{AP}", {"configuration": json.dumps(WRONG)}),
        ("POST", "/default_configuration/x", {"modelIds": ["*"], "configuration": WRONG}),
    ],
)
async def test_all_errors_are_named_and_nothing_is_asked_for(api, coordinator, method, path, body):
    seen = len(coordinator.seen)
    found = problems(await api.request(method, path, json=body))
    assert {one["path"] for one in found} == PLACES
    assert all("/".join(one["context"]) == one["path"] for one in found)
    assert all(one["description"] for one in found)
    assert len(coordinator.seen) == seen


@pytest.mark.parametrize("value", [5, None, ["WAN*"]])
async def test_what_crashes_agents_is_refused_whatever_the_schema_says(apps, api, tmp_path, value):
    file = tmp_path / "lax.json"
    file.write_text("{}")
    apps.context.validation = ConfigurationValidation(Schemas(str(file), str(file)))
    configuration = {
        "unit": {"system-password": value},
        "interfaces": [{"ethernet": [{"select-ports": ["WAN*", value]}]}],
    }
    for serial in (AP, SWITCH):
        answer = await api.post(f"/device/{serial}/configure", json=order(configuration, serial))
        assert {one["path"] for one in problems(answer)} == {
            "unit/system-password",
            "interfaces/0/ethernet/0/select-ports/1",
        }


async def test_switches_have_a_schema_of_their_own(api):
    configuration = {"switch": {"jumbo-frames": "yes"}, "interfaces": [{"ssids": 5}]}
    answer = await api.put(f"/device/{SWITCH}", json={"configuration": configuration})
    assert [one["path"] for one in problems(answer)] == ["switch/jumbo-frames"]
    answer = await api.put(f"/device/{AP}", json={"configuration": configuration})
    assert [one["path"] for one in problems(answer)] == ["interfaces/0/ssids"]


async def test_the_platform_of_a_default_configuration_may_not_make_it_wrong(api):
    url = "/default_configuration/x"
    body = {"modelIds": ["*"], "configuration": {"switch": {"jumbo-frames": "yes"}}}
    assert (await api.post(url, json=body)).status_code == 200
    answer = await api.put(url, json={"platform": "switch"})
    assert [one["path"] for one in problems(answer)] == ["switch/jumbo-frames"]
    assert (await api.put(url, json={"description": "d"})).status_code == 200


@pytest.mark.usefixtures("able")
async def test_warnings_come_with_the_command(api, coordinator):
    radio = {"band": "2G", "channel": 36}
    answer = await api.post(f"/device/{AP}/configure", json=order({"radios": [radio]}))
    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"
    (warning,) = answer.json()["warnings"]
    assert warning["context"] == ["radios", "0", "channel"]
    assert warning["path"] == "radios/0/channel"
    assert "it has 1, 6, 11" in warning["description"]
    assert coordinator.seen[-1].operation == "command.configure"
    radio["channel"] = 6
    answer = await api.post(f"/device/{AP}/configure", json=order({"radios": [radio]}))
    assert "warnings" not in answer.json()


@pytest.mark.usefixtures("able")
async def test_dry_run_of_configure(api, coordinator):
    seen = len(coordinator.seen)

    async def dry(configuration, query=""):
        url = f"/device/{AP}/configure?validateOnly=true{query}"
        answer = await api.post(url, json={"configuration": configuration})
        assert answer.status_code == 200
        return answer.json()

    same = await dry({"uuid": 99, "b": 1.5, "a": [1000, 10000000000000000001], "s": "é"})
    assert same["valid"] is True
    assert same["wouldChange"] is False
    assert same["changes"] == {"added": [], "removed": [], "changed": [], "omitted": 0}
    shown = (await api.get(f"/device/{AP}")).json()
    assert same["configurationHash"] == shown["configurationHash"]

    other = await dry({"b": 2, "a": [1000], "radios": [{"band": "6G"}]})
    assert other["valid"] is True
    assert other["wouldChange"] is True
    assert other["changes"] == {
        "added": ["radios"], "removed": ["s", "a/1"], "changed": ["b"], "omitted": 0,
    }  # fmt: skip
    assert [one["path"] for one in other["warnings"]] == ["radios/0/band"]
    assert other["schema"] == "urn:gw:schema:access-point:1"

    wrong = await dry(WRONG)
    assert wrong["valid"] is False
    assert {one["path"] for one in wrong["errors"]} == PLACES
    assert json.loads(wrong["error"]) == wrong["errors"]

    broken = await dry('{"a":1,"a":2}')
    assert broken["valid"] is False
    assert "duplicate key" in broken["error"]

    absent = await api.post(f"/device/{AP}/configure?validateOnly=true", json={})
    assert absent.json()["ErrorDescription"].startswith("1097: ")
    unknown = await api.post(f"/device/{NEW}/configure?validateOnly=true", json=order({}))
    assert unknown.status_code == 404
    assert len(coordinator.seen) == seen


@pytest.mark.usefixtures("able")
async def test_dry_run_of_a_device(api):
    url = f"/device/{AP}?validateOnly=true"
    found = (await api.post(url, json={"configuration": {"radios": [{"band": "6G"}]}})).json()
    assert found["valid"] is True
    assert found["wouldChange"] is True
    assert [one["path"] for one in found["warnings"]] == ["radios/0/band"]
    # The caller may name another type than the stored one.
    as_switch = (await api.post(url + "&deviceType=switch", json={"configuration": {}})).json()
    assert as_switch["schema"] == "urn:gw:schema:switch:1"
    assert "says that it is an access point" in as_switch["warnings"][0]["description"]
    new = (await api.post(f"/device/{NEW}?validateOnly=true", json={"configuration": {}})).json()
    assert new == {
        "valid": True,
        "schema": "urn:gw:schema:access-point:1",
        "configurationHash": new["configurationHash"],
    }


async def test_large_configurations_are_judged_as_small_ones_are(api):
    wrong = WRONG | {"third-party": {"x": "y" * 200_000}}
    answer = await api.post(f"/device/{AP}/configure", json=order(wrong))
    assert {one["path"] for one in problems(answer)} == PLACES
    right = {"third-party": {"x": "y" * 200_000}}
    assert (await api.post(f"/device/{AP}/configure", json=order(right))).status_code == 200


async def test_a_giant_wrong_configuration_is_refused_with_what_is_first(api):
    giant = {"config-raw": [0] * 1_000_000}
    found = problems(await api.post(f"/device/{AP}/configure", json=order(giant)))
    assert found[0]["path"] == "config-raw/0"
    assert found[1] == {"context": [], "description": "and at least 1 more", "path": ""}


async def test_errors_are_bounded(apps, api):
    apps.context.validation = ConfigurationValidation(most=2)
    answer = await api.post(f"/device/{AP}/configure", json=order({"radios": [0] * 100}))
    found = problems(answer)
    assert [one["path"] for one in found] == ["radios/0", "radios/1", ""]
    assert found[2]["description"] == "and at least 98 more"
    url = f"/device/{AP}?validateOnly=true"
    dry = (await api.post(url, json={"configuration": {"radios": [0] * 100}})).json()
    assert (len(dry["errors"]), dry["errorsOmitted"]) == (2, 98)


async def test_a_validator_that_breaks_accepts_unless_strict(apps, api, monkeypatch):
    results = []
    schemas = Schemas()
    apps.context.validation = ConfigurationValidation(schemas, count=results.append)

    class Broken:
        def is_valid(self, _):
            raise RuntimeError("boom")

    monkeypatch.setattr(schemas.of("ap"), "_validator", Broken())
    url = f"/device/{AP}/configure"
    assert (await api.post(url, json=order({"a": 1}))).status_code == 200
    refused = await api.post(url + "?strict=true", json=order({"a": 1}))
    assert refused.status_code == 400
    assert refused.json()["ErrorDescription"].startswith("1008: ")
    assert "boom" not in refused.text
    dry = (await api.post(url + "?validateOnly=true", json=order({"a": 1}))).json()
    assert dry["valid"] is True
    assert dry["unchecked"]
    strict = await api.post(url + "?validateOnly=true&strict=true", json=order({"a": 1}))
    assert strict.json()["valid"] is False
    assert results == ["failed", "failed"]
    fatal = order({"unit": {"system-password": 1}})
    assert problems(await api.post(url, json=fatal))[0]["path"] == "unit/system-password"


async def test_a_broken_file_at_reload_leaves_the_old_schema(apps, api, tmp_path):
    file = tmp_path / "own.json"
    file.write_text('{"required":["made-up"]}')
    results = []
    validation = ConfigurationValidation(Schemas(str(file)), count=results.append)
    apps.context.validation = validation
    url = f"/device/{AP}/configure"
    refused = problems(await api.post(url, json=order({})))
    assert refused == [
        {"context": [], "description": '"made-up" is a required property', "path": ""}
    ]
    file.write_text("{")
    with structlog.testing.capture_logs() as logs:
        validation.reload()
    (entry,) = [one for one in logs if one["log_level"] == "error"]
    assert str(file) in entry["reason"]
    assert problems(await api.post(url, json=order({}))) == refused
    file.write_text("{}")
    validation.reload()
    assert (await api.post(url, json=order({}))).status_code == 200
    assert results == ["invalid", "invalid", "valid"]
