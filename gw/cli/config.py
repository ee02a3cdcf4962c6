"""`gw config`: the settings as they take effect."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import msgspec

from gw.cli.settings_options import load, settings_options
from gw.core.settings import SECRETS
from gw.core.settings_loader import DEFAULT

_URL_PASSWORD = re.compile(r"(://[^/@:\s]*:)[^/@\s]+@")


@click.group()
def config() -> None:
    """The settings as they take effect."""


_EPILOG = """\
\b
Examples:
  gw config show --config gw.toml > effective.toml
  gw config show --config gw.toml --explain
  gw config show --json --explain
"""


@config.command(epilog=_EPILOG)
@settings_options
@click.option("--explain", is_flag=True, help="Say where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def show(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    explain: bool,
    as_json: bool,
) -> None:
    """Show every setting, as TOML that --config takes. Secrets are left out."""
    settings, origins = load(data, pki, config, overrides)
    tables: dict[str, dict[str, Any]] = msgspec.to_builtins(settings)
    for section, keys in tables.items():
        for key, value in keys.items():
            if value and f"{section}.{key}" in SECRETS:
                keys[key] = "(hidden)"
            elif isinstance(value, str):
                keys[key] = _URL_PASSWORD.sub(r"\1(hidden)@", value)
    if as_json:
        click.echo(_as_json(tables, origins if explain else None))
    else:
        click.echo(_as_toml(tables, origins if explain else None), nl=False)


def _as_json(tables: dict[str, dict[str, Any]], origins: dict[str, str] | None) -> str:
    shown: dict[str, dict[str, Any]] = tables
    if origins is not None:
        shown = {
            section: {
                key: {"value": value, "origin": origins[f"{section}.{key}"]}
                for key, value in keys.items()
            }
            for section, keys in tables.items()
        }
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _as_toml(tables: dict[str, dict[str, Any]], origins: dict[str, str] | None) -> str:
    lines: list[str] = []
    for section, keys in tables.items():
        lines += ["", f"[{section}]"]
        settings = {key: f"{key} = {_toml(value)}" for key, value in keys.items()}
        width = max(len(text) for text in settings.values() if len(text) < 60)
        for key, text in settings.items():
            if origins is None:
                lines.append(text)
                continue
            origin = origins[f"{section}.{key}"]
            note = click.style(f"# {origin}", dim=origin == DEFAULT, bold=origin != DEFAULT)
            lines.append(f"{text:<{width}}  {note}")
    return "\n".join(lines[1:]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # A JSON string is a basic string of TOML, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
