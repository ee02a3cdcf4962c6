"""How many connections of one address may wait for their handshake at the same time."""

from __future__ import annotations

from gw.core.networks import read_address, site_of


class AddressLimit:
    """Counts by address, by network for IPv6. What is not counted any more takes no memory."""

    def __init__(self, most: int) -> None:
        """`most` 0: there is no limit, and nothing is counted."""
        self._most = most
        self._waiting: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, text: str) -> str | None:
        """Count a connection of an address, with or without port; None: there are too many.

        The answer is for `leave`.
        """
        if not self._most:
            return ""
        address = read_address(text)
        site = text if address is None else site_of(address)
        waiting = self._waiting.get(site, 0)
        if waiting >= self._most:
            return None
        self._waiting[site] = waiting + 1
        return site

    def leave(self, site: str) -> None:
        """A connection that was counted waits no longer."""
        waiting = self._waiting.get(site, 0)
        if waiting > 1:
            self._waiting[site] = waiting - 1
        else:
            self._waiting.pop(site, None)
