"""Two gateways that find each other on Kafka: the one has the users, the other asks it."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from kafka_bus import prefix

pytestmark = pytest.mark.e2e


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def until(found):
    """Ask REST until the answer is the wanted one: there is no event to await."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if await found():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to that")


async def test_a_security_service_is_found_by_its_announcements(
    start_gateway, kafka_broker, pki_dir
):
    port = free_port()
    common = {
        "kafka.bootstrap_servers": kafka_broker.address(), "kafka.topic_prefix": prefix(),
        "workers.count": 1,
    }  # fmt: skip
    owner = await start_gateway(
        **common, **{
            "private_security.port": port, "bus.private_security_url": f"https://127.0.0.1:{port}",
            "bus.private_url": "https://one.test:17002",
        }
    )  # fmt: skip
    asking = await start_gateway(
        **common, **{
            "security.external_from_bus": "true", "security.external_cache_seconds": 600,
            "security.external_ca": str(pki_dir / "ca.pem"),
            "api.public_url": "https://two.test:16002", "bus.private_url": "https://two.test:17002",
        }
    )  # fmt: skip
    assert asking.ready["private_security"] == ""
    body = {"userId": "admin@localhost", "password": "Right-Horse-7!"}
    signed_in = await owner.request("POST", "oauth2", service="security", signed=False, json=body)
    token = signed_in.json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}

    async def asked(headers):
        return await asking.request("GET", "devices", signed=False, extra_headers=headers)

    async def known():
        return (await asked(bearer)).status_code == 200

    await until(known)
    assert (await asked({"Authorization": "Bearer nonsense"})).json()["ErrorCode"] == 8

    # The other way round, the one that asks is listed for UIs.
    async def listed():
        found = await owner.get("systemEndpoints", service="security")
        return {"owgw", "https://two.test:16002"} <= {
            value for one in found["endpoints"][1:] for value in (one["type"], one["uri"])
        }

    await until(listed)
    found = await owner.get("systemEndpoints", service="security")
    assert "owsec" not in {one["type"] for one in found["endpoints"]}

    # A token that is taken back there is forgotten here, however long answers are kept.
    gone = await owner.request(
        "DELETE", f"oauth2/{token}", service="security", signed=False, extra_headers=bearer
    )
    assert gone.status_code == 204

    async def refused():
        return (await asked(bearer)).status_code == 403

    await until(refused)
    for secret in (token, (owner.folder / "data" / "internal.key").read_text().strip()):
        assert secret not in asking.log()
