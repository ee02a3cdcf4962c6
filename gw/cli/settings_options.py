"""The options by which every command that needs settings is told of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        help="Directory for the database and all else that is kept (run.data); made if need be.",
    ),
    click.option(
        "--pki",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Directory that `gw pki init --dir DIR` made: where server.pem, server.key, ca.pem "
        "and crl.pem are, unless they are set otherwise.",
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
        help="One setting, above --config and the environment; may be repeated. A list is JSON.",
    ),
)


def settings_options(command: _Command) -> _Command:
    """Add `--data`, `--pki`, `--config` and `--set`, named as `load` takes them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class SettingsProblem(click.ClickException):
    """Ends a command because of its settings."""

    def __init__(self, title: str, faults: Sequence[str] = ()) -> None:
        super().__init__(title + "".join(f"\n  - {line}" for line in faults))


class CannotRun(SettingsProblem):
    """Ends `gw run`, with EX_CONFIG: to start it again without a change is of no use."""

    exit_code = 78


def load(
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    *,
    problem: type[SettingsProblem] = SettingsProblem,
) -> tuple[Settings, dict[str, str]]:
    """Return the settings and their origins, or end the command with what is wrong."""
    try:
        return settings_loader.load(file=config, data=data, pki=pki, overrides=overrides)
    except settings_loader.SettingsError as exc:
        raise problem("The settings cannot be used:", exc.faults) from None
