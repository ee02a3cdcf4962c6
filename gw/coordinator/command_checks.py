"""What is looked at before a command becomes one: restrictions, signatures, the receive buffer."""

from __future__ import annotations

from typing import Any, Final

import httpx
import msgspec

from gw.coordinator.firmware_signatures import FirmwareSignatures
from gw.coordinator.shadow import Shadow
from gw.core.errors import ApiError
from gw.core.settings import Signatures
from gw.protocol import configuration as rules
from gw.protocol.commands import for_switch
from gw.protocol.restrictions import SIGNATURE_NEEDED, Restrictions, forbids, stored
from gw.security.signatures import SignatureError, Signer

_ENVELOPE: Final = 256
"""Bytes of a request around its params, at most."""
_TOO_LARGE: Final = 1018


class CommandChecks:
    """Refuses what a device may not, or cannot, be sent."""

    def __init__(self, settings: Signatures, client: httpx.AsyncClient) -> None:
        self._signer = Signer(settings)
        self._firmware = FirmwareSignatures(self._signer, settings, client)

    async def permitted(self, shadow: Shadow, name: str, params: bytes) -> bytes:
        """Return the params, signed if the device asks for it and a vendor's key is here.

        Raises ApiError 1151 or 1146 (southbound.md 6.8).
        """
        params = await self._signed(shadow, name, params)
        return for_switch(name, params) if shadow.row.device_type == "switch" else params

    async def _signed(self, shadow: Shadow, name: str, params: bytes) -> bytes:
        details = stored(shadow.row.restriction_details)
        if details is None:
            return params
        members: dict[str, Any] = msgspec.json.decode(params)
        refused = forbids(name, members, details)
        if refused is not None and refused.number == SIGNATURE_NEEDED:
            members["signature"] = await self._sign(name, members, details, refused.text)
            return msgspec.json.encode(members)
        if refused is not None:
            raise ApiError(refused.number, refused.text)
        return params

    async def _sign(
        self, name: str, members: dict[str, Any], details: Restrictions, text: str
    ) -> str:
        try:
            if name == "upgrade":
                return await self._firmware.sign(details.key_info, str(members["uri"]))
            content = str(members.get("script", "")).encode()
            return self._signer.sign(details.key_info, content)
        except SignatureError as error:
            raise ApiError(SIGNATURE_NEEDED, f"{text}; {error}") from None

    def fits(self, shadow: Shadow, params: bytes) -> None:
        """See to it that params fit the device's receive buffer.

        Raises ApiError naming size and limit (agents.md, transport). Access points expand nothing
        but a `configure`.
        """
        limit = rules.frame_limit(shadow.row.device_type) - _ENVELOPE
        if len(params) > limit:
            text = f"the command has {len(params)} bytes; the device receives {limit} at most"
            raise ApiError(_TOO_LARGE, text)
