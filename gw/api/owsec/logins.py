"""Counting sign-ins for the metric."""

from __future__ import annotations

from collections.abc import Callable

CountLogin = Callable[[bool], None]
"""Called once per attempt to sign in: did it succeed?"""


def uncounted(_succeeded: bool) -> None:
    """Take no note of an attempt."""
