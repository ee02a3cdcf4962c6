"""Venues of an outside provisioning service: two requests, remembered, and its failures."""

from __future__ import annotations

import httpx
import pytest

from gw.coordinator.venue_inventory import VenueInventory
from gw.core.settings import Provisioning

A, B = "02a0e7400001", "02a0e7400002"


class Service:
    """Answers as its table says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, httpx.Response] = {
            f"/api/v1/inventory/{A}": httpx.Response(200, json={"serialNumber": A, "venue": "v"}),
            "/api/v1/inventory?serialOnly=true&venue=v": httpx.Response(
                200, json={"serialNumbers": [A, B.upper(), "nonsense"]}
            ),
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        self.asked.append(path)
        return self.answers.get(path, httpx.Response(404))


@pytest.fixture
async def service():
    return Service()


@pytest.fixture
async def inventory(service):
    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as client:
        yield VenueInventory(Provisioning(url="https://prov.test/"), client)


async def test_the_venue_is_asked_for_once(service, inventory):
    for _ in range(2):
        assert await inventory.devices_beside(A) == [A, B]
    assert service.asked == list(service.answers)


async def test_a_device_without_a_venue_is_alone(service, inventory):
    assert await inventory.devices_beside(B) == []
    assert service.asked == [f"/api/v1/inventory/{B}"]
    assert await inventory.devices_beside(B) == []
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "answer", [httpx.Response(500), httpx.Response(200, text="[]"), httpx.Response(200, text="x")]
)
async def test_a_service_that_fails_is_left_alone_for_a_while(service, inventory, answer):
    service.answers[f"/api/v1/inventory/{A}"] = answer
    for _ in range(2):
        assert await inventory.devices_beside(A) == []
    assert len(service.asked) == 1
