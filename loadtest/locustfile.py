"""REST load, as consoles and scripts make it: sign in, lists, pages of devices, configure.

    locust -f loadtest/locustfile.py --headless -u 10 -r 10 -t 60s \
        --host https://localhost:16002 --security https://localhost:16001 --ca var/pki/ca.pem

The password of the administrator is in GW_PASSWORD. Devices must be there (`gw simulate`).
"""

from __future__ import annotations

import random
from argparse import ArgumentParser
from typing import Any

from locust import HttpUser, between, events, task

PAGE = 100
CHANNELS = (36, 40, 44, 48)


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--security", default="https://localhost:16001", help="URL for sign-in")
    parser.add_argument("--ca", default="", help="PEM bundle; empty: that of the system")
    parser.add_argument("--login", default="admin@localhost", help="user to sign in as")
    parser.add_argument("--gw-password", env_var="GW_PASSWORD", default="", is_secret=True)
    parser.add_argument("--no-configure", action="store_true", help="change nothing")


class Console(HttpUser):
    """Somebody who looks at the fleet, and now and then changes a device."""

    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        options = self.environment.parsed_options
        self.client.verify = options.ca or True
        self.chance = random.Random(id(self))
        self.sign_in()
        self.serials = self.list_devices(0)
        if not self.serials:
            raise RuntimeError("the gateway has no devices: start `gw simulate` first")

    def sign_in(self) -> None:
        options = self.environment.parsed_options
        body = {"userId": options.login, "password": options.gw_password}
        url = f"{options.security}/api/v1/oauth2"
        with self.client.post(url, json=body, name="sign in", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
                raise RuntimeError("cannot sign in: see GW_PASSWORD, --login, --security, --ca")
            token = answer.json()["access_token"]
        self.client.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, name: str) -> Any:
        """GET below /api/v1; the answer as JSON, or None if it is none."""
        with self.client.get(f"/api/v1/{path}", name=name, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
                return None
            return answer.json()

    def list_devices(self, offset: int) -> list[str]:
        path = f"devices?limit={PAGE}&offset={offset}&deviceWithStatus=true"
        found = self.get(path, "devices with status") or {}
        return [device["serialNumber"] for device in found.get("devicesWithStatus", [])]

    @task(5)
    def overview(self) -> None:
        count = (self.get("devices?countOnly=true", "device count") or {}).get("count", 0)
        self.list_devices(self.chance.randrange(0, max(1, count - PAGE)))

    @task(10)
    def device_page(self) -> None:
        serial = self.chance.choice(self.serials)
        self.get(f"device/{serial}", "device")
        self.get(f"device/{serial}/status", "device status")
        self.get(f"device/{serial}/statistics?newest=true&limit=20", "device statistics")
        self.get(f"device/{serial}/healthchecks?newest=true&limit=20", "device health checks")
        self.get(f"device/{serial}/logs?newest=true&limit=20", "device logs")
        self.get(f"commands?serialNumber={serial}&newest=true&limit=20", "device commands")

    @task(1)
    def configure(self) -> None:
        if self.environment.parsed_options.no_configure:
            return
        serial = self.chance.choice(self.serials)
        radio = {"band": "5G", "channel": self.chance.choice(CHANNELS)}
        body = {"serialNumber": serial, "UUID": 1, "when": 0, "configuration": {"radios": [radio]}}
        path = f"/api/v1/device/{serial}/configure"
        with self.client.post(path, json=body, name="configure", catch_response=True) as answer:
            # Two changes of one device at the same time: the second is told that it is busy.
            if answer.status_code in (200, 202):
                answer.success()
            else:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
