"""The upload listener: `POST /v1/upload/{uuid}` of devices (southbound.md 6.3).

The only proof is the UUID: it must be of a command that waits for a file, and it is good for one
upload. Files are kept in a directory, one per command.
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import multipart

from gw.core.settings import Files
from gw.files.kept import Coordinator, KeptFiles
from gw.ops import logs
from gw.store.interface import Reader

log = logs.get("files")

READ_SECONDS: Final = 300.0
_AT_A_TIME: Final = 16
_OVERHEAD: Final = 65_536
"""Room for the other parts of the form, bytes."""
_PATH: Final = re.compile(r"/v1/upload/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\Z")


class UploadError(Exception):
    """An upload is refused; `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Uploads:
    """ASGI application of the upload listener."""

    def __init__(
        self,
        reader: Reader,
        coordinator: Coordinator,
        settings: Files,
        kept: KeptFiles,
    ) -> None:
        self._reader = reader
        self._coordinator = coordinator
        self._kept = kept
        self._folder = kept.folder
        self._max_bytes = settings.max_bytes
        scripts = settings.script_seconds
        self._windows = {"pcap": settings.trace_seconds, "txt": scripts, "tgz": scripts}
        """How long after it was sent a command waits for its file, by the kind of file."""
        self._under_way: set[str] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            uuid, size = await self._serve(scope, receive)
            answer: dict[str, Any] = {"filename": uuid, "error": 0}
            status = 200
            log.info("file received", command=uuid, size=size)
        except UploadError as error:
            status = error.status
            answer = {"filename": "", "error": 13, "errorText": str(error)}
            log.warning("upload refused", path=scope["path"][:80], detail=str(error))
        body = msgspec.json.encode(answer)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _serve(self, scope: Any, receive: Any) -> tuple[str, int]:
        match = _PATH.match(scope["path"])
        if match is None or scope["method"] != "POST":
            raise UploadError(404, "devices POST to /v1/upload/{uuid of a command}")
        uuid = match[1]
        row = await self._reader.command(uuid)
        window = self._windows.get(row.attach_type, 0.0) if row is not None else 0.0
        if row is None or not row.waiting_for_file or time.time() > row.executed + window:
            raise UploadError(404, "no command waits for this file")
        if uuid in self._under_way or len(self._under_way) >= _AT_A_TIME:
            raise UploadError(409, "this file, or too many others, are being uploaded")
        self._under_way.add(uuid)
        part = self._folder / f"{uuid}.part"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            async with asyncio.timeout(READ_SECONDS):
                size = await self._receive(scope, receive, part)
            await self._kept.keep(uuid, part)
            await self._coordinator.request("file.received", {"uuid": uuid, "size": size})
        except TimeoutError:
            raise UploadError(408, f"the file did not come within {READ_SECONDS:g} s") from None
        except UploadError as error:
            await self._coordinator.request("file.rejected", {"uuid": uuid, "text": str(error)})
            raise
        finally:
            self._under_way.discard(uuid)
            part.unlink(missing_ok=True)
        return uuid, size

    async def _receive(self, scope: Any, receive: Any, part: Path) -> int:
        """Write the first part that is a file to `part`; returns its size, bytes."""
        parser = multipart.PushMultipartParser(
            _boundary(scope), max_segment_count=16, max_segment_size=self._max_bytes
        )
        size = total = 0
        state = ""
        try:
            with part.open("wb") as file, parser:
                while not parser.closed:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise UploadError(400, "the upload broke off")
                    chunk = message.get("body", b"")
                    total += len(chunk)
                    if total > self._max_bytes + _OVERHEAD:
                        raise UploadError(413, f"a file has {self._max_bytes} bytes at most")
                    for event in parser.parse(chunk):
                        if isinstance(event, multipart.MultipartSegment):
                            is_file = event.content_type == "application/octet-stream"
                            state = "file" if is_file and not state else state
                        elif event is None:
                            state = "done" if state == "file" else state
                        elif state == "file":
                            size += len(event)
                            await asyncio.to_thread(file.write, event)
                    if not message.get("more_body", False):
                        break
        except multipart.ParserLimitReached:
            raise UploadError(413, f"a file has {self._max_bytes} bytes at most") from None
        except multipart.MultipartError as error:
            raise UploadError(400, f"the form cannot be read: {error}") from None
        if not state:
            raise UploadError(400, "the form has no part of type application/octet-stream")
        return size


def _boundary(scope: Any) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind, options = multipart.parse_options_header(value.decode("latin-1"))
            boundary = options.get("boundary", "")
            if kind in ("multipart/form-data", "multipart/mixed") and 0 < len(boundary) <= 200:
                return str(boundary).encode("latin-1", "replace")
    raise UploadError(415, "the body must be multipart/form-data")
