"""A simulated device: the agent's protocol over a client connection, and its small memory.

Tests drive it directly; a fleet drives many. All of it lives in one event loop.
Long, because connecting, sending, receiving and remembering of one agent share its memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from picows import WSMsgType

from gw.core.ids import MAX_CONFIG_UUID, normalize_serial
from gw.protocol import radius_tunnel
from gw.simulator import chatter, messages
from gw.simulator.backoff import Backoff
from gw.simulator.commands import Reaction, react
from gw.simulator.configure import Memory, Outcome, ap_id, config_hash, configure
from gw.simulator.connection import Closed, Link, open_link
from gw.simulator.counters import Counters
from gw.simulator.crashes import crash_of
from gw.simulator.events import Event, KeptEvents
from gw.simulator.faults import GARBAGE, Drift, Faults, Garbage, Rejection, garbage
from gw.simulator.inbox import Inbox, Incoming, Message, decode
from gw.simulator.observer import Observer
from gw.simulator.queues import CommandQueues, abort_seconds, queue_of
from gw.simulator.rtty import RttyAgent, agent_of
from gw.simulator.tls import client_context
from gw.simulator.upload import upload

RECEIVE_LIMIT: Final[dict[messages.Platform, int]] = {"ap": 32_768, "switch": 4_194_304}
"""Longest message that the agent's buffer holds, bytes; a longer one is lost."""
_IDLE_PING: Final[dict[messages.Platform, float]] = {"ap": 60.0, "switch": 300.0}
_CLOSE_WAIT: Final = 5.0
_APPLY_LIMIT: Final = 60.0
"""After how many seconds an access point gives up applying, and says nothing."""
_SMALL_GARBAGE: Final = [kind for kind in GARBAGE if kind not in ("bomb", "oversize")]
_FRAMES: Final = {"binary": WSMsgType.BINARY, "stray-part": WSMsgType.CONTINUATION}
"""Kinds of garbage that are no text frames."""
_MISSED: Final = 10


class SimulatedDevice:
    """One device. `pki` None connects without TLS, which only tests do.

    `report_hash` adds `config_hash` to connect, state and configure results; `compress_cmd` is
    the capability; `compress` the device's own compression of states. `action_delay` stands for
    the 10 s after which an access point acts. The last `keep` messages are kept in `received`.
    With `uploads` the device uploads what trace and script ask for, with `streams` it sends
    telemetry once it is asked to; tests do that by hand.
    """

    def __init__(
        self,
        serial: str,
        pki: str | Path | None,
        host: str,
        port: int,
        *,
        platform: messages.Platform = "ap",
        firmware: str | None = None,
        model: str | None = None,
        uuid: int | None = None,
        capabilities: dict[str, Any] | None = None,
        password: str | None = None,
        state_dir: str | Path | None = None,
        report_hash: bool = True,
        compress: bool = True,
        compress_cmd: bool = True,
        faults: Faults | None = None,
        path: str = "/",
        preamble: bytes = b"",
        source: str = "",
        action_delay: float = 0.05,
        idle_ping: float | None = None,
        backoff_scale: float = 1.0,
        keep: int = 1000,
        seed: int = 0,
        uploads: bool = False,
        streams: bool = False,
    ) -> None:
        self.serial = normalize_serial(serial, separators=True)
        self.platform = platform
        is_switch = platform == "switch"
        self.firmware = firmware or ("TIP-OLS-v4.2.0" if is_switch else "OpenWrt 23.05 / TIP-v4.2")
        self.model = model or ("edgecore_ecs4125-10p" if is_switch else "edgecore_eap102")
        self.faults = faults or Faults()
        self.report_hash = report_hash
        self.compress = compress and not is_switch
        self.password = password
        self.action_delay = action_delay
        self.backoff = Backoff(platform, backoff_scale)
        self.counters = Counters()
        self._inbox = Inbox(self.serial, keep)
        self.received = self._inbox.received
        self.last_error: str = ""
        self.observer: Observer = Observer()
        self._pki, self._host, self._port, self._path = pki, host, port, path
        self._preamble, self._source = preamble, source
        self._idle_ping = _IDLE_PING[platform] if idle_ping is None else idle_ping
        if self.faults.silence_after:
            self._idle_ping = 0
        self._uploads, self._streams = uploads, streams
        self._refusals = self.faults.reject_first
        self._stream: asyncio.TimerHandle | None = None
        self._missed: list[str] = []
        """Failed attempts, told once there is a connection."""
        self._keep = keep
        self._capabilities = capabilities
        self._compress_cmd = compress_cmd
        self._chance = random.Random(f"{seed}/{self.serial}")  # noqa: S311 - a simulation
        self._phase = self._chance.randrange(1 << 16)
        self._template: messages.StateTemplate | None = None
        self._link: Link | None = None
        self._closed: asyncio.Future[Closed] | None = None
        self.terminals: list[RttyAgent] = []
        """Remote terminals that this device was asked for; the last `keep` ones."""
        self._tasks: set[asyncio.Task[str]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._connected = asyncio.Event()
        self._queues = CommandQueues(self._later)
        self.events = KeptEvents()
        """What an access point keeps until it is asked for them, or connects again."""
        self._unheard: deque[tuple[WSMsgType, bytes, bool]] | None = None
        """Frames that came while a switch applies; None: it does not."""
        self._boot_reason: str | None = "boot"
        self._asked: Any = 0
        self._state_file = None if state_dir is None else Path(state_dir) / f"{self.serial}.json"
        self.memory = self._load(uuid)
        self.config_hash = config_hash(self.memory.config)

    # -- facts ---------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._connected.is_set()

    @property
    def deaf(self) -> bool:
        """Whether it applies a configuration, and hears nothing meanwhile."""
        return self._unheard is not None

    @property
    def uuid(self) -> Any:
        """The uuid of the active configuration."""
        return self.memory.uuid

    @property
    def config(self) -> Any:
        """The active configuration."""
        return orjson.loads(bytes(self.memory.config))

    @property
    def sequence(self) -> int:
        """Number of the last state sent."""
        return self.memory.sequence

    @property
    def closed(self) -> asyncio.Future[Closed]:
        """The end of the present or last connection, with its close code and reason."""
        if self._closed is None:
            raise RuntimeError("the device was never connected")
        return self._closed

    # -- connection ----------------------------------------------------------------------------

    async def connect(
        self, *, reason: str | None = None, announce: bool = True, deadline: float = 10.0
    ) -> None:
        """Connect and send `connect` (unless not `announce`)."""
        if self._connected.is_set():
            raise RuntimeError(f"{self.serial} is connected")
        try:
            context = None if self._pki is None else client_context(self._pki, self.serial)
            link = await open_link(
                self,
                self._host,
                self._port,
                context=context,
                path=self._path,
                deadline=deadline,
                idle_ping=self._idle_ping,
                preamble=self._preamble,
                source=self._source,
            )
        except Exception as exc:
            self.counters.failures += 1
            self.last_error = f"{type(exc).__name__}: {exc}"[:200]
            self._missed = [*self._missed, f"uc-client: {self.last_error}\n"][-_MISSED:]
            raise
        self._closed = link.closed
        if link.closed.done():
            self.counters.failures += 1
            self.last_error = f"closed at once: {link.closed.result()}"
            raise ConnectionResetError(self.last_error)
        self._link = link
        self.counters.connects += 1
        self.backoff.connected()
        self._connected.set()
        if announce:
            self.announce(reason)
        self.observer.connected(self)

    def announce(self, reason: str | None = None) -> None:
        """Send `connect`, and what the agent sends right behind it."""
        if self.faults.no_capabilities:
            self.send_log("failed to load capabilities", 3)
            return
        boot, self._boot_reason = self._boot_reason, None
        params = self.connect_params(reason or boot or "socket")
        if self.faults.early:
            self.send_state()
            self.send("connect", params)
        self.send("connect", params)
        for event in self.events.drain():
            self.send_event(event.kind, event.payload, event.at)
        missed, self._missed = self._missed, []
        if self.platform == "switch":
            for line in missed:
                self.send_log(line, 5)
            if boot in ("reboot", "crashlog"):
                kind = "device.reboot" if boot == "reboot" else "device.crash"
                self.send_event(kind, {"cause": "requested" if boot == "reboot" else "crash"})
        elif boot == "crashlog":
            lines = ["[  812.113] Unable to handle kernel paging request"]
            body = messages.reboot_log(self.serial, self.memory.uuid, "crashlog", lines)
            self.send("rebootLog", body | {"date": max(0, body["date"] + self.faults.clock)})

    def connect_params(self, reason: str) -> dict[str, Any]:
        """Return the parameters of `connect`."""
        params: dict[str, Any] = {
            "serial": self.serial,
            "firmware": self.firmware,
            "uuid": self.memory.uuid,
        }
        if self.platform == "ap":
            params["reason"] = reason
        if self.password is not None:
            params["password"] = self.password
        found = self._capabilities
        if found is None:
            found = messages.capabilities(self.serial, self.platform, self.firmware, self.model)
            if not self._compress_cmd:
                found.pop("compress_cmd", None)
        params["capabilities"] = found
        if self.report_hash and self.config_hash is not None:
            params["config_hash"] = self.config_hash
        return params

    async def disconnect(self, code: int = 1000) -> Closed | None:
        """Close with the closing handshake, and cut after 5 s without the peer's answer."""
        link = self._link
        if link is None:
            return None
        link.close(code)
        try:
            async with asyncio.timeout(_CLOSE_WAIT):
                return await asyncio.shield(link.closed)
        except TimeoutError:
            return await link.end()

    async def drop(self) -> None:
        """Cut the connection without a close frame."""
        if self._link is not None:
            await self._link.end()

    async def wait_connected(self, deadline: float = 10.0) -> None:
        """Wait until there is a connection."""
        async with asyncio.timeout(deadline):
            await self._connected.wait()

    async def stay_connected(self) -> None:
        """Connect, and again after each loss as the agent does, until cancelled."""
        try:
            while True:
                # Whatever went wrong, an agent tries again; last_error and counters tell.
                with contextlib.suppress(Exception):
                    reason = "recovery" if self.backoff.restarted() else None
                    await self.connect(reason=reason)
                    await asyncio.shield(self.closed)
                await asyncio.sleep(self.backoff.wait())
        finally:
            self.stop()

    def stop(self) -> None:
        """Cut the connection, forget what is to be done later, save the memory."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        if self._link is not None:
            self._link.cut()
        self._save()

    async def end_terminals(self) -> None:
        """End the remote terminals, and wait until their connections are closed."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- sending -------------------------------------------------------------------------------

    def send(self, method: str, params: dict[str, Any] | None = None) -> None:
        """Send a notification; `serial` is added if it is not in `params`."""
        body = {"serial": self.serial, **(params or {})}
        self.send_text(messages.encode(messages.notification(method, body)))

    def send_text(self, text: bytes) -> None:
        """Send one text frame as it is."""
        self.send_frame(WSMsgType.TEXT, text)

    def send_frame(self, kind: WSMsgType, payload: bytes, *, fin: bool = True) -> None:
        """Send any frame; raises ConnectionError when there is no connection."""
        if self._link is None:
            raise ConnectionError("the device is not connected")
        if 0 < self.faults.silence_after <= self.counters.states:
            return
        self._link.send(kind, payload, fin=fin)
        self.counters.sent += 1

    def send_state(self, request_uuid: str | None = None) -> int:
        """Send the next numbered state and return its number; then faults that are due happen."""
        if self._template is None:
            self._template = messages.StateTemplate(self.serial, self.platform, self._chance)
        sequence = self.memory.sequence + 1
        # A switch reports the uuid last asked for, and 0 from its start to the next configure.
        uuid = self._asked if self.platform == "switch" else self.memory.uuid
        reported = self.config_hash if self.report_hash else None
        clock = self.faults.clock
        params = self._template.params(sequence, uuid, reported, request_uuid, clock)
        self.send_text(messages.state_message(params, compress=self.compress))
        self.memory.sequence = sequence
        self.counters.states += 1
        self._misbehave()
        return sequence

    def send_healthcheck(self, sanity: int = 100, request_uuid: str | None = None) -> None:
        """Send a healthcheck."""
        self.send(
            "healthcheck",
            messages.healthcheck(self.serial, self.memory.uuid, sanity, request_uuid),
        )
        self.counters.healthchecks += 1

    def send_log(self, text: str, severity: int = 6) -> None:
        """Send a line of log."""
        self.send("log", messages.log(self.serial, text, severity))

    def send_event(self, kind: str, payload: dict[str, Any], at: int | None = None) -> None:
        """Send one event."""
        if at is None:
            at = int(time.time()) + self.faults.clock
        self.send("event", messages.event(self.serial, kind, payload, at))

    def keep_event(self, kind: str, payload: dict[str, Any]) -> None:
        """Let something happen in an access point, which keeps the last 250 events."""
        self.events.add(Event(int(time.time()) + self.faults.clock, kind, payload))

    def send_garbage(self, kind: Garbage) -> None:
        """Send what no gateway can make sense of."""
        frame = _FRAMES.get(kind, WSMsgType.TEXT)
        self.send_frame(frame, garbage(kind, self.serial))

    def send_radius(self, kind: str, packet: bytes) -> None:
        """Send a RADIUS packet (`auth`, `acct` or `coa`) as the access point's proxy does."""
        self.send_text(radius_tunnel.write(kind, packet))

    async def drain(self) -> None:
        """Wait until the transport takes more."""
        if self._link is not None:
            await self._link.writable.wait()

    async def confirm(self, deadline: float = 10.0) -> None:
        """Wait until the gateway has read all that was sent (PING and its PONG)."""
        if self._link is None:
            raise ConnectionError("the device is not connected")
        await self._link.ping(deadline)

    # -- receiving -----------------------------------------------------------------------------

    async def wait_for(self, method: str, deadline: float = 10.0) -> Message:
        """Return the next message of `method` that no earlier wait returned; "" has no method."""
        return await self._inbox.wait_for(method, deadline)

    async def wait_for_configure(self, deadline: float = 10.0) -> Message:
        """Return the next configure, done and answered; `outcome` tells how."""
        return await self.wait_for("configure", deadline)

    async def wait_for_radius(self, deadline: float = 10.0) -> tuple[str, bytes]:
        """Return kind and bytes of the next RADIUS packet."""
        return radius_tunnel.read((await self.wait_for("", deadline)).raw)

    def frame_received(self, kind: WSMsgType, payload: bytes, whole: bool) -> None:
        """Take a frame from the connection."""
        if self._unheard is not None:
            self._unheard.append((kind, payload, whole))
            return
        self.counters.received += 1
        if not whole or kind == WSMsgType.CONTINUATION:
            # Agents parse each buffer as a whole message, whichever part it is (agents.md).
            self.counters.fragments += 1
            self._complain("uc-proto: Failed to parse cmd\n")
            return
        if len(payload) > RECEIVE_LIMIT[self.platform]:
            self.counters.oversized += 1
            self._complain("failed to parse command")
            return
        try:
            incoming = decode(payload)
        except msgspec.MsgspecError:
            self.counters.unparsable += 1
            self._complain("uc-proto: Failed to parse cmd\n")
            return
        method = incoming.method if isinstance(incoming.method, str) else ""
        message = Message(method, incoming.id, payload)
        self._inbox.note(message)
        crash = crash_of(self.platform, incoming.jsonrpc, incoming.method, incoming.params)
        if crash:
            self._crash(crash, message)
        elif method and self.faults.is_ignored(method):
            self.counters.unanswered += 1
            self._inbox.hand_out(message)
        elif method == "configure":
            self._configure(message, incoming)
        elif method:
            self.counters.commands += 1
            self._react(message, incoming)
        else:
            self._not_a_call(message, incoming)

    def _crash(self, reason: str, message: Message) -> None:
        self.counters.crashes += 1
        self.last_error = f"crash: {reason}"
        self._inbox.hand_out(message)
        self.reboot()
        self._boot_reason = "crashlog"

    def _not_a_call(self, message: Message, incoming: Incoming) -> None:
        """A switch says nothing to an `error`; an access point logs it, and answers a bad one."""
        if incoming.error is not msgspec.UNSET:
            if self.platform == "ap":
                self._complain("received an error")
                members = incoming.error if isinstance(incoming.error, dict) else {}
                if not {"code", "message"} <= members.keys():
                    status = {"error": 1, "text": "invalid parameters"}
                    self._say(messages.result(0, self.serial, self.memory.uuid, status))
        elif incoming.radius is msgspec.UNSET:
            self._complain("uc-proto: received invalid jsonrpc call\n")
        self._inbox.hand_out(message)

    def connection_closed(self, link: Link, closed: Closed) -> None:
        """Take note of the end of a connection."""
        if link is self._link and self._connected.is_set():
            self._connected.clear()
            self._link = self._unheard = None
            self.observer.disconnected(self, closed)

    def _configure(self, message: Message, incoming: Incoming) -> None:
        seconds = self.faults.apply_seconds
        if seconds <= 0:
            self._apply(message, incoming)
        elif self.platform == "switch":
            self._be_deaf(seconds, lambda: self._apply(message, incoming))
        elif seconds > _APPLY_LIMIT:
            self.counters.unanswered += 1
            self._inbox.hand_out(message)
        else:
            self._later(seconds, lambda: self._apply(message, incoming))

    def _be_deaf(self, seconds: float, action: Any) -> None:
        """Read nothing for so long, then do `action`, and hear what came meanwhile."""
        link = self._link
        if link is None:
            return
        self._unheard = deque()
        link.pause_reading()

        def hear_again() -> None:
            if self._link is not link:
                return
            unheard, self._unheard = self._unheard or deque(), None
            action()
            link.resume_reading()
            for frame in unheard:
                if self._link is link:
                    self.frame_received(*frame)

        self._later(seconds, hear_again)

    def _apply(self, message: Message, incoming: Incoming) -> None:
        faults = self.faults
        if self._refusals > 0:
            self._refusals -= 1
            no = Rejection(at="/uuid", reason="not now")
            faults = msgspec.structs.replace(faults, reject=[*faults.reject, no])
        outcome = configure(
            self.platform,
            self.serial,
            self.memory,
            incoming.id,
            b"{}" if isinstance(incoming.params, msgspec.UnsetType) else incoming.params,
            faults=faults,
        )
        message.outcome = outcome
        self.counters.configures += 1
        self.counters.compressed_configures += outcome.compressed
        if outcome.params is not None:
            self._check_hash(outcome)
            if self.platform == "ap" and isinstance(outcome.params.compress, bool):
                self.compress = outcome.params.compress
        changed = outcome.memory is not self.memory
        self.memory = outcome.memory
        if outcome.applied:
            self.counters.applied += 1
            self.config_hash = config_hash(self.memory.config)
        if outcome.uuid != 0:
            self._asked = outcome.uuid
        self.counters.rejections += outcome.error not in {0, 1, None} or outcome.uuid == 0
        self.counters.substitutions += outcome.error == 1 and outcome.applied
        if changed:
            self._save()
        for line in outcome.logs:
            self._complain(line)
        answer = outcome.answer
        if answer is not None and outcome.applied and self.report_hash and self.config_hash:
            answer["result"]["config_hash"] = self.config_hash
        self.observer.configured(self, message)
        if faults.drop_on_apply and outcome.applied:
            if self._link is not None:
                self._link.cut()
            answer = None
        self._answer("configure", [] if answer is None else [answer], message)

    def _check_hash(self, outcome: Outcome) -> None:
        params = outcome.params
        if params is None or not isinstance(params.config, msgspec.Raw):
            return
        if isinstance(params.config_hash, str):
            self.counters.hash_mismatches += params.config_hash != config_hash(params.config)

    def _react(self, message: Message, incoming: Incoming) -> None:
        reaction = react(
            self.platform,
            self.serial,
            self.memory.uuid,
            request_id=incoming.id,
            method=message.method,
            params=message.params,
            faults=self.faults,
        )
        queue = queue_of(self.platform, message.method)
        if message.method in self.faults.hanging:
            self._hang(reaction, message, incoming)
        elif queue == "other":
            seconds = self.faults.command_seconds
            self._queues.put(queue, seconds, lambda: self._carry_out(reaction, message))
        else:
            self._carry_out(reaction, message)

    def _hang(self, reaction: Reaction, message: Message, incoming: Incoming) -> None:
        """Let a command not end: what runs in a queue is aborted in the end, and says so."""
        queue = queue_of(self.platform, message.method)
        if queue is None or queue == "administration":
            self._answer(message.method, reaction.answers, message)
        if queue is None:
            return
        status = {"error": 1, "text": "command timed out and was aborted", "resultCode": 1}
        answer = messages.result(ap_id(incoming.id), self.serial, self.memory.uuid, status)

        def aborted() -> None:
            if queue == "other":
                self._answer(message.method, [answer], message)
            else:
                self._say(answer)

        seconds = abort_seconds(message.method, self.faults.abort_seconds)
        self._queues.put(queue, seconds, aborted)

    def _carry_out(self, reaction: Reaction, message: Message) -> None:
        if message.method == "event" and self.platform == "ap" and reaction.answers:
            result = reaction.answers[0].get("result", {})
            result["events"] = self.events.take(message.params.get("types"))
        self._answer(message.method, reaction.answers, message)
        request_uuid = message.params.get("request_uuid")
        # What cannot be said because the connection is ending is dropped, as agents do.
        with contextlib.suppress(ConnectionError):
            if reaction.report == "state":
                self.send_state(request_uuid)
            elif reaction.report == "healthcheck":
                self.send_healthcheck(request_uuid=request_uuid)
        if reaction.terminal:
            self._open_terminal(message.params)
        if message.method == "telemetry" and self._streams:
            self._restream(message.params)
        if reaction.upload and self._uploads:
            task = asyncio.get_running_loop().create_task(
                self._upload(reaction.upload), name="upload"
            )
            self._tasks.add(task)
            task.add_done_callback(self._task_ended)
        if not reaction.later and not reaction.act:
            return
        if queue_of(self.platform, message.method) == "administration":
            # One after the other, and what is under way at a restart is forgotten.
            self._queues.put(
                "administration", self.action_delay, lambda: self._act(reaction, message)
            )
        else:
            self._later(self.action_delay, lambda: self._act(reaction, message))

    def _open_terminal(self, params: dict[str, Any]) -> None:
        context = None if self._pki is None else client_context(self._pki, self.serial)
        try:
            agent = agent_of(params, context)
        except ValueError:
            return  # it cannot connect there, and nobody learns of it
        self.terminals = [*self.terminals, agent][-max(1, self._keep) :]
        task = asyncio.get_running_loop().create_task(agent.run(), name="rtty")
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[str]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.last_error = f"{task.get_name()}: {type(error).__name__}: {error}"[:200]

    async def _upload(self, uri: str) -> str:
        content = b"\xd4\xc3\xb2\xa1".ljust(self.faults.upload_bytes, b"\0")
        status = await upload(uri, self.serial, content, None)
        self.counters.uploads += status == 200
        return str(status)

    def _restream(self, params: dict[str, Any]) -> None:
        """Send telemetry every `interval` seconds; 0 ends it."""
        if self._stream is not None:
            self._stream.cancel()
            self._timers.discard(self._stream)
            self._stream = None
        interval, types = params.get("interval"), params.get("types")
        if not isinstance(interval, int) or interval <= 0 or not isinstance(types, list):
            return

        def packet() -> None:
            body = chatter.telemetry(self.platform, self.serial, self.memory.uuid, types)
            self._say(messages.notification("telemetry", body))
            if self._link is not None:  # a connection that ends ends it
                self._stream = self._later(interval, packet)

        self._stream = self._later(interval, packet)

    def _act(self, reaction: Reaction, message: Message) -> None:
        for body in reaction.later:
            if not self.faults.is_silent(message.method):
                self._say(body)
        if reaction.act == "factory":
            self.memory = Memory(sequence=self.memory.sequence)
            self.config_hash = config_hash(self.memory.config)
        elif reaction.act == "upgrade":
            uri = message.params.get("uri")
            name = uri.rsplit("/", 1)[-1] if isinstance(uri, str) else ""
            self.firmware = name.removesuffix(".bin") or self.firmware
        elif reaction.act == "transfer":
            self._host = str(message.params.get("server") or self._host)
            self._port = int(message.params.get("port") or self._port)
        if reaction.act is not None:
            self.reboot()

    def _answer(self, method: str, answers: list[dict[str, Any]], message: Message) -> None:
        if self.faults.is_silent(method) or not answers:
            self.counters.unanswered += 1
            self._inbox.hand_out(message)
        elif self.faults.answer_delay > 0:
            self._later(self.faults.answer_delay, lambda: self._answer_now(answers, message))
        else:
            self._answer_now(answers, message)

    def _answer_now(self, answers: list[dict[str, Any]], message: Message) -> None:
        said = [self._say(one) for one in answers * (1 + self.faults.repeats)]
        self.counters.unanswered += not all(said)
        self._inbox.hand_out(message)

    def _say(self, body: dict[str, Any]) -> bool:
        """Send a message, or drop it as an agent does that is offline."""
        try:
            self.send_text(messages.encode(body))
        except ConnectionError:
            return False
        return True

    def _complain(self, text: str) -> None:
        self._say(messages.notification("log", messages.log(self.serial, text, 3)))

    # -- faults --------------------------------------------------------------------------------

    def drift(self, kind: Drift) -> bool:
        """Let the active configuration slip; False where there is none to slip."""
        memory = self.memory
        if not isinstance(memory.uuid, int) or memory.uuid <= 2:
            return False
        self.counters.drifts += 1
        if kind == "content":
            config = self.config
            config["x-drift"] = self.counters.drifts
            raw = msgspec.Raw(orjson.dumps(config))
            self.memory = msgspec.structs.replace(memory, config=raw)
        elif kind == "older":
            self.memory = msgspec.structs.replace(memory, uuid=memory.uuid - 1)
        else:
            ahead = min(memory.uuid + 1000, MAX_CONFIG_UUID)
            self.memory = msgspec.structs.replace(
                memory, uuid=ahead, newest=ahead, newest_config=memory.config
            )
        self._asked = self.memory.uuid
        self.config_hash = config_hash(self.memory.config)
        self._save()
        self.observer.drifted(self, kind)
        return True

    def reboot(self) -> None:
        """Lose the connection and what is not kept; the next `connect` tells the reason."""
        self.counters.reboots += 1
        self._boot_reason = "reboot"
        self._asked = 0
        self._queues.clear()
        if self._link is not None:
            self._link.cut()

    def _misbehave(self) -> None:
        faults, count, phase = self.faults, self.memory.sequence, self._phase
        if faults.due(faults.drift_every, count, phase):
            self.drift(self._chance.choice(faults.drifts))
        if faults.due(faults.garbage_every, count, phase):
            self.send_garbage(self._chance.choice(_SMALL_GARBAGE))
        if faults.due(faults.foreign_every, count, phase):
            status = {"error": 0, "text": "Success"}
            self._say(messages.result(0, self.serial, self.memory.uuid, status))
        if faults.due(faults.chatter_every, count, phase):
            self._chat()
        if faults.due(faults.runaway_every, count, phase):
            body = chatter.telemetry(self.platform, self.serial, self.memory.uuid, ["state"])
            self._say(messages.notification("telemetry", body))
        if faults.due(faults.reboot_every, count, phase):
            self.reboot()
        elif faults.due(faults.drop_every, count, phase):
            self.counters.drops += 1
            if self._link is not None:
                self._link.cut()

    def _chat(self) -> None:
        """Say one of the messages that come unasked."""
        method, params = chatter.anything(
            self.platform, self.serial, self.memory.uuid, self._chance, self.faults.clock
        )
        self._say(params if method == chatter.RADIUS else messages.notification(method, params))

    # -- memory --------------------------------------------------------------------------------

    def _load(self, uuid: int | None) -> Memory:
        file = self._state_file
        if file is not None and file.exists():
            return msgspec.json.decode(file.read_bytes(), type=Memory)
        memory = Memory()
        if uuid is not None:
            memory.uuid = memory.newest = uuid
            memory.config = memory.newest_config = msgspec.Raw(b'{"uuid":%d}' % uuid)
        return memory

    def _save(self) -> None:
        if self._state_file is None:
            return
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._state_file.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(self.memory))
        temporary.replace(self._state_file)

    def _later(self, delay: float, action: Any) -> asyncio.TimerHandle:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(timer)
        return timer
