"""A role process for tests: does as the environment tells it, and reports by datagram."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

from gw.core import bootstrap as bootstrap_module


def main() -> None:
    bootstrap = bootstrap_module.load()
    name = f"worker-{bootstrap.slot}" if bootstrap.role == "worker" else bootstrap.role
    behaviour = json.loads(os.environ["STUB_BEHAVIOUR"]).get(name, "")
    events = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def tell(event: str, **more: object) -> None:
        message = {"name": name, "event": event, "generation": bootstrap.generation} | more
        events.sendto(json.dumps(message).encode(), os.environ["STUB_EVENTS"])

    wanted = {signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    for ends in bootstrap.rings:
        for fd in (ends.up_memfd, ends.up_wake, ends.down_memfd, ends.down_wake):
            os.fstat(fd)
    addresses = {
        key: socket.socket(fileno=os.dup(fd)).getsockname() for key, fd in bootstrap.sockets.items()
    }
    tell(
        "started",
        pid=os.getpid(),
        rings=[ends.name for ends in bootstrap.rings],
        sockets=addresses,
        password="GW_ADMIN_PASSWORD" in os.environ,
        settings=[key for key in os.environ if key.startswith("GW_") and "__" in key],
        store=bootstrap.settings.store.url,
        rtty_ports=[bootstrap.settings.rtty.port, bootstrap.settings.rtty.viewer_port],
    )
    if behaviour == "configuration_error":
        sys.exit(78)
    if behaviour == "dies_before_ready":
        sys.exit(3)
    if behaviour == "never_ready":
        signal.sigwait({signal.SIGINT})
    bootstrap_module.announce_ready(bootstrap)
    tell("ready", pid=os.getpid())
    if behaviour == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        number = signal.sigwait(wanted)
        tell(signal.Signals(number).name)
        if number == signal.SIGUSR1:
            os.abort()
        if number == signal.SIGTERM and behaviour != "stubborn":
            tell("ended")
            return


main()
