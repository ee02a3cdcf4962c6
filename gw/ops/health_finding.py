"""One finding of the doctor."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """What a check found out."""

    topic: str
    state: Literal["good", "warning", "fault"]
    text: str
    remedy: str = ""
    """What to do, if it is not good."""


def good(topic: str, text: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(topic, "good", text)


def warning(topic: str, text: str, remedy: str) -> Finding:
    """Return a finding that will be a fault, or that somebody should know."""
    return Finding(topic, "warning", text, remedy)


def fault(topic: str, text: str, remedy: str) -> Finding:
    """Return a finding with which the gateway does not work as it should."""
    return Finding(topic, "fault", text, remedy)
