"""Clients of the REST API that page and read, as a process of their own.

    python api_clients.py URL CA SECONDS CLIENTS      (the token comes by standard input)

Prints one JSON object at the end: requests, failures, and the slowest answer.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import sys
import time

import httpx

PAGE = 100


class Client:
    """Pages through the fleet, and reads what it finds."""

    def __init__(self, number: int, connection: httpx.AsyncClient) -> None:
        self._chance = random.Random(number)
        self._connection = connection
        self._serials: list[str] = []
        self.requests = self.failures = 0
        self.slowest = 0.0

    async def run(self, until: float) -> None:
        offset = 0
        while time.monotonic() < until:
            path = f"devices?deviceWithStatus=true&limit={PAGE}&offset={offset}"
            found = await self._get(path) or {}
            page = [one["serialNumber"] for one in found.get("devicesWithStatus", [])]
            self._serials = page or self._serials
            offset = offset + PAGE if len(page) == PAGE else 0
            for _ in range(5):
                if not self._serials:
                    break
                serial = self._chance.choice(self._serials)
                await self._get(f"device/{serial}")
                await self._get(f"device/{serial}/statistics?newest=true&limit=20")
                await self._get(f"device/{serial}/logs?newest=true&limit=20")
                await asyncio.sleep(self._chance.uniform(0.1, 0.5))  # somebody reads it

    async def _get(self, path: str) -> dict[str, list[dict[str, str]]] | None:
        began = time.monotonic()
        answer = await self._connection.get(path)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.requests += 1
        if answer.status_code != 200:
            self.failures += 1
            return None
        found: dict[str, list[dict[str, str]]] = answer.json()
        return found


async def main(url: str, ca: str, seconds: float, clients: int) -> None:
    token = sys.stdin.readline().strip()
    async with httpx.AsyncClient(
        base_url=f"{url}/api/v1/",
        headers={"authorization": f"Bearer {token}"},
        verify=ssl.create_default_context(cafile=ca),
        timeout=120.0,
        limits=httpx.Limits(max_connections=clients, max_keepalive_connections=clients),
    ) as connection:
        all_of_them = [Client(number, connection) for number in range(clients)]
        until = time.monotonic() + seconds
        await asyncio.gather(*(one.run(until) for one in all_of_them))
    told = {
        "requests": sum(one.requests for one in all_of_them),
        "failures": sum(one.failures for one in all_of_them),
        "slowest": max(one.slowest for one in all_of_them),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
