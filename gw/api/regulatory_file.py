"""The regulatory database in the text form of wireless-regdb (`db.txt`; see its `regdb.5`)."""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path
from typing import Final

import msgspec

from gw.core.errors import ApiError

_COUNTRY: Final = re.compile(r"country\s+([A-Z0-9]{2})\s*:\s*([A-Za-z0-9-]*)\s*\Z")
_RANGE: Final = re.compile(
    r"\(\s*([0-9.]+)\s*-\s*([0-9.]+)\s*@\s*([0-9.]+)\s*\)\s*,\s*"
    r"\(\s*(?:[0-9.]+\s*,\s*)?([0-9.]+)\s*(mW)?\s*\)\s*(?:,(.*))?\Z"
)
_MAX_BYTES: Final = 8_000_000


class RangeOptions(msgspec.Struct):
    """What is to be heeded in a range."""

    no_ir: bool = msgspec.field(name="NO_IR", default=False)
    auto_bw: bool = msgspec.field(name="AUTO_BW", default=False)
    dfs: bool = msgspec.field(name="DFS", default=False)
    no_outdoor: bool = msgspec.field(name="NO_OUTDOOR", default=False)
    wmmrule_etsi: bool = msgspec.field(name="wmmrule_ETSI", default=False)
    no_ofdm: bool = msgspec.field(name="NO_OFDM", default=False)


class FrequencyRange(msgspec.Struct, rename="camel", kw_only=True):
    """A range of frequencies: MHz, and dBm."""

    from_: float = msgspec.field(name="from")
    to: float
    channel_width: float
    power_db: float
    options: RangeOptions


class Country(msgspec.Struct):
    """What a country allows."""

    country: str
    domain: str
    """Region whose rules of radar detection hold, such as DFS-ETSI; empty: none."""
    ranges: list[FrequencyRange]


_FLAGS: Final = {
    "NO-IR": "no_ir",
    "NO-IBSS": "no_ir",
    "PASSIVE-SCAN": "no_ir",
    "AUTO-BW": "auto_bw",
    "DFS": "dfs",
    "NO-OUTDOOR": "no_outdoor",
    "NO-OFDM": "no_ofdm",
    "wmmrule=ETSI": "wmmrule_etsi",
}


def parse(text: str) -> dict[str, Country]:
    """Return the countries by their two letters. Raises ValueError naming a line that is odd."""
    found: dict[str, Country] = {}
    country: Country | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.partition("#")[0].rstrip()
        if not line:
            continue
        head = _COUNTRY.match(line.strip())
        if head is not None:
            country = found[head[1]] = Country(head[1], head[2], [])
        elif line.strip().startswith("("):
            if country is None:
                raise ValueError(f"line {number}: a range outside a country")
            country.ranges.append(_range(line.strip(), number))
        elif not line[0].isspace():
            country = None  # a rule of another kind, such as wmmrule
    return found


def _range(line: str, number: int) -> FrequencyRange:
    match = _RANGE.match(line)
    if match is None:
        raise ValueError(f"line {number}: not (from - to @ width), (power)")
    try:
        start, end, width, power = (float(match[index]) for index in (1, 2, 3, 4))
    except ValueError:
        raise ValueError(f"line {number}: a number is malformed") from None
    if match[5]:
        power = round(10 * math.log10(power), 2) if power > 0 else 0.0
    names = {_FLAGS.get(word.strip()) for word in (match[6] or "").split(",")}
    options = RangeOptions(**{name: True for name in names if name})
    return FrequencyRange(from_=start, to=end, channel_width=width, power_db=power, options=options)


def read(file: str) -> dict[str, Country]:
    """Read a file. Raises OSError or ValueError if it cannot be used."""
    path = Path(file)
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    found = parse(path.read_text())
    if not found:
        raise ValueError("it has no country")
    return found


class Regulatory:
    """The regulatory database, read when it is first asked for: few ever do."""

    def __init__(self, file: str = "") -> None:
        self._file = file
        self._countries: dict[str, Country] | None = None
        self._reading = asyncio.Lock()

    async def countries(self) -> dict[str, Country]:
        """Return the countries; none without a file. Raises ApiError 1002 if it is unusable."""
        async with self._reading:
            if self._countries is None:
                self._countries = await self._read()
            return self._countries

    async def reload(self) -> None:
        """Read the file now; the old data stay if it is unusable. Raises ApiError 1002."""
        async with self._reading:
            self._countries = await self._read()

    async def _read(self) -> dict[str, Country]:
        if not self._file:
            return {}
        try:
            return await asyncio.to_thread(read, self._file)
        except (OSError, ValueError) as error:
            raise ApiError(1002, f"api.regulatory_file: {error}", http=500) from None
