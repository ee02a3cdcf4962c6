"""What the security listeners work with; the public and the private one share it.

Limits hold for both together.
"""

from __future__ import annotations

from typing import Any

from gw.api.authentication import Authenticator
from gw.api.context import Context
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.action_links import ActionLinks
from gw.api.owsec.logins import CountLogin, uncounted
from gw.api.owsec.mailer import Mailer
from gw.api.owsec.mfa import Mfa
from gw.api.owsec.sign_in import SignIn
from gw.api.owsec.throttle import Throttle
from gw.api.owsec.totp import SetUps
from gw.security.passwords import Passwords
from gw.security.sealing import Sealer


class SecurityParts:
    """One per api process."""

    def __init__(
        self,
        context: Context,
        authentication: Authenticator,
        passwords: Passwords,
        sealer: Sealer,
        mailer: Mailer,
        count_login: CountLogin = uncounted,
    ) -> None:
        rules = context.settings.security
        self._accounts = Accounts(context, authentication)
        self._passwords = passwords
        self._sealer = sealer
        self._mailer = mailer
        self._count_login = count_login
        self._throttle = Throttle(rules.login_attempts_per_minute)
        self._mfa = Mfa(mailer, sealer)
        self._links = ActionLinks(context, mailer)
        self._signing = SignIn(
            context,
            self._accounts,
            passwords,
            self._mfa,
            self._links,
            Throttle(rules.login_attempts_per_user, what="user"),
        )
        self._set_ups = SetUps()

    def dependencies(self) -> dict[str, Any]:
        """Return what handlers may ask for, by name."""
        return {
            "accounts": self._accounts,
            "passwords": self._passwords,
            "throttle": self._throttle,
            "count_login": self._count_login,
            "signing": self._signing,
            "mfa": self._mfa,
            "links": self._links,
            "mailer": self._mailer,
            "sealer": self._sealer,
            "set_ups": self._set_ups,
        }
