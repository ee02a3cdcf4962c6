"""Simulated devices, and a gateway of a few lines for them."""

from __future__ import annotations

import ssl

import pytest
from few_lines_gateway import SERIAL, Server

from gw.security import pki
from gw.simulator.device import SimulatedDevice


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    pki.init(folder)
    pki.device(folder, [SERIAL, *pki.numbered_serials("02a0ca", 4)])
    return folder


@pytest.fixture
async def server(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = Server(context)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def make(server, certificates):
    made = []

    def make(serial=SERIAL, **options):
        device = SimulatedDevice(serial, certificates, "127.0.0.1", server.port, **options)
        made.append(device)
        return device

    yield make
    for device in made:
        await device.disconnect()
        device.stop()
