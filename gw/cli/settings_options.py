"""The options by which every command that needs settings is told of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gw.core import settings_loader
from gw.core.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Directory for the database and all else that is kept (run.data).",
    ),
    click.option(
        "--pki",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Directory made by `gw pki init`: certificates, unless they are set otherwise.",
    ),
    click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Settings as TOML.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="One setting; may be repeated. Lists are written as JSON.",
    ),
)


def settings_options(command: _Command) -> _Command:
    """Add `--data`, `--pki`, `--config` and `--set`, named as `load` takes them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def load(
    data: Path | None, pki: Path | None, config: Path | None, overrides: tuple[str, ...]
) -> tuple[Settings, dict[str, str]]:
    """Return the settings and their origins, or end the command with what is wrong."""
    try:
        return settings_loader.load(file=config, data=data, pki=pki, overrides=overrides)
    except settings_loader.SettingsError as exc:
        raise click.ClickException(listed("The settings cannot be used:", exc.faults)) from None


def listed(title: str, lines: list[str]) -> str:
    """Return a title and lines below it."""
    return title + "".join(f"\n  - {line}" for line in lines)
