"""/system and /systemConfiguration of both listeners."""

import pytest

from gw.api.context import FixedLevels
from gw.core import settings as all_settings
from gw.ops import log_levels, metrics

SUBSYSTEMS = ["supervisor", "coordinator", "worker", "api", "rtty", "radius"]


@pytest.fixture
def page(apps):
    found = metrics.CounterPage.private()
    apps.context.log_levels = log_levels.LogLevels(found, "info")
    yield found
    found.close()


@pytest.mark.operation("POST /system", "owsec POST /system")
async def test_log_levels(api, security, token, page, as_csr):
    for client in (api, security):
        client.headers["authorization"] = f"Bearer {token}"
        names = await client.post("/system", json={"command": "getSubsystemNames"})
        assert names.json() == {"list": SUBSYSTEMS}
        levels = await client.post("/system", json={"command": "getloglevelnames"})
        assert levels.json() == {"list": ["debug", "information", "warning", "error"]}
        change = {"command": "setloglevel", "subsystems": [{"tag": "worker", "value": "debug"}]}
        refused = await client.post("/system", json=change, headers=as_csr)
        assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 7)
        done = await client.post("/system", json=change)
        assert done.json() == {"Code": 0, "Operation": "POST", "Details": "setloglevel"}
        found = (await client.post("/system", json={"command": "getloglevels"})).json()["tagList"]
        assert {one["tag"]: one["value"] for one in found} == dict.fromkeys(
            SUBSYSTEMS, "information"
        ) | {"worker": "debug"}
    assert page.get(metrics.index("gw_log_level", "worker")) == 10


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ({}, 1031),
        ({"command": "dance"}, 1031),
        ({"command": "stats"}, 1018),
        ({"command": "setloglevel"}, 1018),
        ({"command": "setloglevel", "subsystems": ["worker"]}, 1018),
        ({"command": "setloglevel", "subsystems": [{"tag": "x", "value": "debug"}]}, 1018),
        ({"command": "setloglevel", "subsystems": [{"tag": "api", "value": "loud"}]}, 1018),
        ({"command": 7}, 1003),
    ],
)
async def test_bad_commands(api, page, body, number):
    refused = await api.post("/system", json=body)
    assert refused.status_code == 400
    assert refused.json()["ErrorDescription"].startswith(f"{number}: ")
    assert page.get(metrics.index("gw_log_level", "api")) == 0


@pytest.mark.operation("GET /system", "owsec GET /system")
async def test_reload_and_facts(api, security, token, apps, page):
    reloads = []
    apps.context.reload = lambda: reloads.append(1)
    done = await api.post("/system", json={"command": "reload", "subsystems": ["api"]})
    assert (done.status_code, reloads) == (200, [1])
    security.headers["authorization"] = f"Bearer {token}"
    for client in (api, security):
        info = (await client.get("/system?command=info")).json()
        assert set(info) == {
            "version", "uptime", "start", "os", "processors", "hostname", "certificates", "UI",
        }  # fmt: skip
        resources = (await client.get("/system?command=resources")).json()
        assert set(resources) == {
            "numberOfFileDescriptors",
            "currRealMem",
            "peakRealMem",
            "currVirtMem",
            "peakVirtMem",
        }
        assert (await client.get("/system?command=extraConfiguration")).json() == {}
        assert (await client.get("/system")).json()["ErrorDescription"].startswith("1031: ")


def test_a_process_without_a_say_has_no_levels():
    assert FixedLevels().read() == {}
    with pytest.raises(KeyError):
        FixedLevels().set("api", "debug")


@pytest.mark.operation("GET /systemConfiguration", "owsec GET /systemConfiguration")
async def test_settings_are_read_by_administrators_without_secrets(
    api, security, token, settings, as_csr
):
    settings.security.internal_key = "k" * 40
    settings.store.url = "postgresql://gw:hunter2@db/gw"
    names = "api.port,security.internal_key,store.url,api.cors_origins,no.such"
    security.headers["authorization"] = f"Bearer {token}"
    for client in (api, security):
        found = await client.get("/systemConfiguration", params={"entries": names})
        assert found.json() == [
            {"parameterName": "api.port", "parameterValue": "16002"},
            {"parameterName": "security.internal_key", "parameterValue": "(hidden)"},
            {"parameterName": "store.url", "parameterValue": "postgresql://gw:(hidden)@db/gw"},
            {"parameterName": "api.cors_origins", "parameterValue": "*"},
        ]
        refused = await client.get(f"/systemConfiguration?entries={names}", headers=as_csr)
        assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 7)
        absent = await client.get("/systemConfiguration")
        assert absent.json()["ErrorDescription"].startswith("1018: ")


async def test_no_secret_setting_is_shown(api, settings):
    for name in all_settings.SECRETS:
        section, _, field = name.partition(".")
        setattr(getattr(settings, section), field, "sesame" * 8)
    names = ",".join(all_settings.SECRETS)
    found = await api.get("/systemConfiguration", params={"entries": names})
    assert len(found.json()) == len(all_settings.SECRETS)
    assert "sesame" not in found.text


@pytest.mark.operation(
    "PUT /systemConfiguration",
    "DELETE /systemConfiguration",
    "owsec PUT /systemConfiguration",
    "owsec DELETE /systemConfiguration",
)
async def test_settings_are_not_changed_here(api, security, token, as_csr):
    security.headers["authorization"] = f"Bearer {token}"
    for client in (api, security):
        for method in ("PUT", "DELETE"):
            refused = await client.request(method, "/systemConfiguration")
            assert refused.status_code == 400
            assert refused.json()["ErrorDescription"].startswith("1062: ")
            other = await client.request(method, "/systemConfiguration", headers=as_csr)
            assert (other.status_code, other.json()["ErrorCode"]) == (403, 7)
