"""GET /capabilities: what the known models can do (northbound.md 4.9)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, document

_CHUNK: Final = 1000


class Model(msgspec.Struct, rename="camel"):
    """A model, by the `compatible` of its devices."""

    device_type: str
    capabilities: dict[str, Any]


class ModelsAnswer(msgspec.Struct):
    """Every model of which a device said what it can do."""

    device_types: list[Model]


@get(
    "/capabilities",
    **documented("Read the capabilities of every model", tag="Devices", answer=ModelsAnswer),
)
async def read_models(context: NamedDependency[Context]) -> Answer:
    """Answer the capabilities of one device of each model."""
    serials = await context.reader.serial_numbers()
    found: dict[str, Any] = {}
    for at in range(0, len(serials), _CHUNK):
        for row in (await context.reader.shadows(serials[at : at + _CHUNK])).values():
            if not row.compatible or row.compatible in found:
                continue
            kept = await context.reader.capabilities(row.serial_number)
            if kept is not None:
                found[row.compatible] = msgspec.Raw(kept.capabilities.encode() or b"{}")
    models = [{"deviceType": name, "capabilities": found[name]} for name in sorted(found)]
    return document({"device_types": models})
