"""`gw user`: accounts, for whoever has the machine but not the password."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gw.cli.settings_options import load, settings_options

if TYPE_CHECKING:
    from gw.core.settings import Settings


@click.group()
def user() -> None:
    """Repair user accounts, on the machine of the gateway."""


_EPILOG = """\
\b
Examples:
  gw user reset-password --data /var/lib/gw
  gw user reset-password --data /var/lib/gw --email operator@example.org
"""


@user.command("reset-password", epilog=_EPILOG)
@settings_options
@click.option("--email", help="The user; the administrator of the settings, unless named.")
@click.option("--reset-mfa", is_flag=True, help="Turn the second factor off as well.")
def reset_password(
    *,
    data: Path | None,
    pki: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    email: str | None,
    reset_mfa: bool,
) -> None:
    """Give a user a new password, shown once, to be changed at the next sign-in.

    Sessions of the user end. The gateway may run meanwhile.
    """
    settings, _ = load(data, pki, config, overrides)
    if not settings.run.data and not settings.store.url:
        raise click.UsageError("name the data directory: --data DIR")
    wanted = (email or settings.security.administrator).strip().lower()
    password, suspended, second_factor = asyncio.run(_reset(settings, wanted, reset_mfa))
    click.echo(f"New password of {wanted}: {click.style(password, bold=True)}")
    click.echo("It is shown only now, and has to be changed at the next sign-in.")
    if second_factor:
        click.echo("The second factor is still asked for: --reset-mfa turns it off.")
    if suspended:
        click.echo(f"Mind that {wanted} is suspended.")


async def _reset(settings: Settings, email: str, reset_mfa: bool) -> tuple[str, bool, bool]:
    from gw.api.owsec.user_document import proprietary, rest_of, without_mfa
    from gw.security.passwords import Passwords
    from gw.store.errors import StoreError
    from gw.store.interface import Batch, DeleteTokens, PutUser
    from gw.store.open import may_exist, open_store, sqlite_path

    passwords = Passwords(settings.security)
    try:
        if not may_exist(settings.store, settings.run.data):
            path = sqlite_path(settings.store.url, settings.run.data)
            raise click.ClickException(
                f"{path} does not exist: start the gateway once, or see --data and store.url"
            )
        store = open_store(settings.store, settings.run.data)
        try:
            row = await store.user_by_email(email)
            if row is None:
                known = ", ".join(other.email for other in await store.users(limit=20))
                hint = f"users are: {known}" if known else "the first start makes the first one"
                raise click.ClickException(f"there is no user {email}; {hint}")
            password = passwords.generate()
            row.password = await passwords.hash(password)
            row.change_password = True
            if reset_mfa:
                row.document = json.dumps(without_mfa(rest_of(row)))
            mfa = proprietary(rest_of(row)).get("mfa", {})
            row.modified = int(time.time())
            await store.commit(Batch([PutUser(row), DeleteTokens(user_id=row.id)]))
        finally:
            await store.close()
    except (StoreError, ValueError) as exc:
        raise click.ClickException(str(exc)) from None
    finally:
        passwords.close()
    return password, row.suspended, bool(mfa.get("enabled"))
