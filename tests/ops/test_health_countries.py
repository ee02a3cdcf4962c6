"""What the doctor says of the database of countries."""

from __future__ import annotations

from pathlib import Path

import mmdb

from gw.core.settings import IpToCountry, Settings
from gw.ops.health_countries import country_findings


def said(path: Path) -> list[tuple[str, str]]:
    settings = Settings(iptocountry=IpToCountry(provider="file", file=str(path)))
    return [(one.state, one.text) for one in country_findings(settings)]


def test_a_database_and_its_age(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    ((level, text),) = said(path)
    assert level == "fault"
    assert "No such file" in text
    path.write_bytes(b"gzip?")
    ((level, text),) = said(path)
    assert level == "fault"
    assert "no database" in text
    mmdb.write(path, {"8.8.8.0/24": mmdb.country("US")})
    ((level, text),) = said(path)
    assert level == "good"
    assert "Test-Country" in text
    mmdb.write(path, {"8.8.8.0/24": mmdb.country("US")}, built=1_500_000_000)
    ((level, text),) = said(path)
    assert level == "warning"
    assert "2017-07-14 is old" in text


def test_nothing_is_said_without_a_provider() -> None:
    assert not list(country_findings(Settings()))
