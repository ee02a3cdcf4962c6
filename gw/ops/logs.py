"""Logs: structured lines on standard error, the same from our modules and from libraries.

`log = logs.get("worker")` at the head of a module; `log.info("what happened", serial=...)`.
`configure` is called once per process, before anything is logged.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Literal

import structlog
from structlog.typing import FilteringBoundLogger, Processor

_STDERR: Final = 2
_HIDDEN: Final = "(hidden)"
_SECRET_KEY: Final = re.compile(
    r"(^|_)(password|passphrase|passwd|secret|token|key|psk|authorization|cookie|credentials?|otp)$"
    r"|^(authorization|apikey|accesstoken|refreshtoken|newpassword|devicepassword|x-api-key)$",
    re.IGNORECASE,
)
# A password in a URL, a bearer token, and a private key, wherever they stand in a text.
_SECRET_TEXTS: Final = (
    (re.compile(r"(://[^/@:\s]*:)[^/@\s]+@"), rf"\1{_HIDDEN}@"),
    (re.compile(r"(\bbearer\s+)\S+", re.IGNORECASE), rf"\1{_HIDDEN}"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL), _HIDDEN),
)
_MAX_DEPTH: Final = 6
_MAX_TEXT: Final = 16_384

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_HIGHEST: Final = 50
_followed: Callable[[], int] | None = None


def follow(level: Callable[[], int]) -> None:
    """From now on write by `level()`, a number of the logging module; 0: as configured."""
    global _followed  # noqa: PLW0603 - logs are one per process
    _followed = level


def _set_level() -> int:
    return 0 if _followed is None else _followed()


Level = Literal["debug", "info", "warning", "error"]


Listener = Callable[[MutableMapping[str, Any]], object]


class _Listening:
    """Who else gets the lines of this process."""

    listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Have `listener` called with each line of this process, secrets hidden; None: no more.

    It must be quick, must not log and must not keep or change what it is given.
    """
    _Listening.listener = listener


def get(name: str) -> FilteringBoundLogger:
    """Return the logger of a part of the program; may be called before `configure`."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def configure(
    *,
    format: Literal["console", "json"] = "console",
    level: Level = "info",
    role: str,
    slot: int | None = None,
) -> None:
    """Set up the logs of this process. `role` and `slot` are on every line."""
    process = role if slot is None else f"{role}-{slot}"

    def bind_process(_: Any, __: str, event: MutableMapping[str, Any]) -> Any:
        event.setdefault("process", process)
        return event

    number = _LEVELS[level]

    def drop_below(_: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        if _LEVELS.get(method, _HIGHEST) < (_set_level() or number):
            raise structlog.DropEvent
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        bind_process,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        redact,
        _tell,
    ]
    render: list[Processor]
    if format == "json":
        render = [
            structlog.processors.format_exc_info,
            _redact_exception,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    else:
        render = [
            # Not the rich tracebacks: they show local variables, which may be secrets.
            structlog.processors.format_exc_info,
            _redact_exception,
            structlog.dev.ConsoleRenderer(
                colors=os.isatty(_STDERR) and "NO_COLOR" not in os.environ,
                exception_formatter=structlog.dev.plain_traceback,
                pad_event_to=0,
            ),
        ]
    structlog.configure(
        processors=[drop_below, _add_name, *shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=True,
    )
    _route_stdlib(shared, render, number)


def _route_stdlib(shared: list[Processor], render: list[Processor], level: int) -> None:
    """Send the records of uvicorn, asyncio, picows and all others through the same lines."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
    )
    handler = _StderrHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, _StderrHandler | logging.StreamHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    # Libraries talk much at debug; ours is what debug is wanted for.
    root.setLevel(max(level, logging.INFO))
    # They name whole URLs at this level, and a query may hold a token.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "picows"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    logging.captureWarnings(True)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide secrets: by the name of their key, and passwords of URLs in any text."""
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = _HIDDEN
        elif isinstance(value, str | dict | list | tuple):
            event[key] = _clean(value, _MAX_DEPTH)
    return event


def _tell(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if _Listening.listener is not None:
        _Listening.listener(event)
    return event


def _redact_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    text = event.get("exception")
    if isinstance(text, str):
        event["exception"] = _clean_text(text)
    return event


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if depth == 0:
        return "..."
    if isinstance(value, dict):
        return {
            k: _HIDDEN if isinstance(k, str) and _SECRET_KEY.search(k) else _clean(v, depth - 1)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item, depth - 1) for item in value]
    return value


def _clean_text(text: str) -> str:
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    for pattern, replacement in _SECRET_TEXTS:
        text = pattern.sub(replacement, text)
    return text


def _add_name(logger: Any, _: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if logger.name:
        event["logger"] = logger.name
    return event


def _write_line(line: str) -> None:
    data = (line + "\n").encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(_STDERR, data) :]
    except OSError:
        # Nobody reads the log, or its disk is full: no reason to drop devices.
        return


class _StderrLogger:
    """Writes one line with one system call, so that lines of processes do not mix."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        _write_line(line)

    debug = info = warning = error = critical = exception = log = msg


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            _write_line(self.format(record))
        except Exception:  # noqa: BLE001 - a log record must not break what it reports on
            print("a log record could not be written", file=sys.stderr)
