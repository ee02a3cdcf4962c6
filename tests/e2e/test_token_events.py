"""Sister services are told which tokens to forget (security.md 1.2)."""

import json

import pytest

pytestmark = pytest.mark.e2e


async def test_sign_out_and_refresh_are_told(start_gateway, tmp_path):
    file = tmp_path / "events"
    gateway = await start_gateway(**{"bus.file": str(file), "workers.count": 1})
    body = {"userId": "admin@localhost", "password": "Right-Horse-7!"}

    async def call(method, path, token="", **more):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await gateway.request(
            method, path, service="security", signed=False, extra_headers=headers, **more
        )

    first = (await call("POST", "oauth2", json=body)).json()
    renewed = await call(
        "POST", "oauth2?grant_type=refresh_token", first["access_token"],
        json={"refreshToken": first["refresh_token"]},
    )  # fmt: skip
    second = renewed.json()["access_token"]
    assert (await call("DELETE", f"oauth2/{second}", second)).status_code == 204
    unknown = "feed" * 16
    assert (await call("DELETE", f"oauth2/{unknown}", unknown)).status_code == 204
    assert await gateway.stop() == 0
    told = [json.loads(line) for line in file.read_bytes().splitlines()]
    removed = [one["value"] for one in told if one["value"].get("event") == "remove-token"]
    assert [one["token"] for one in removed] == [first["access_token"], second]
    assert {one["id"] for one in removed} == {
        int((gateway.folder / "data" / "system.id").read_text())
    }
    assert second not in gateway.log()
