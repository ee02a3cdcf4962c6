"""What the security listeners work with; the public and the private one share it.

Limits hold for both together.
"""

from __future__ import annotations

from typing import Any

from gw.api.authentication import Authentication, Authenticator
from gw.api.context import Context
from gw.api.owsec.accounts import Accounts
from gw.api.owsec.action_links import ActionLinks
from gw.api.owsec.logins import CountLogin, uncounted
from gw.api.owsec.mailer import Mailer
from gw.api.owsec.mfa import Mfa
from gw.api.owsec.sign_in import SignIn
from gw.api.owsec.sms import Phones
from gw.api.owsec.sms_sender import SmsSender
from gw.api.owsec.subscribers import subscriber_context
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
        *,
        sms: SmsSender | None = None,
        links_prefix: str = "",
    ) -> None:
        """`links_prefix` begins the names of the actions of mailed links."""
        rules = context.settings.security
        self._accounts = Accounts(context, authentication)
        self._passwords = passwords
        self._sealer = sealer
        self._mailer = mailer
        self._count_login = count_login
        self._throttle = Throttle(rules.login_attempts_per_minute)
        self._sms = sms or SmsSender(context.settings.sms)
        self._phones = Phones()
        self._mfa = Mfa(mailer, self._sms, sealer)
        self._links = ActionLinks(context, mailer, links_prefix)
        self._signing = SignIn(
            context,
            self._accounts,
            passwords,
            self._mfa,
            self._links,
            Throttle(rules.login_attempts_per_user, what="user"),
        )
        self._set_ups = SetUps()
        self._subscribers: tuple[Authentication, dict[str, Any]] | None = None
        if not links_prefix:
            self._subscribers = self.of_subscribers(
                context, passwords, sealer, mailer, count_login, self._sms
            )

    @property
    def subscribers(self) -> tuple[Authentication, dict[str, Any]]:
        """Who resolves the tokens of subscribers, and what their handlers ask for."""
        assert self._subscribers is not None
        return self._subscribers

    @classmethod
    def of_subscribers(
        cls,
        context: Context,
        passwords: Passwords,
        sealer: Sealer,
        mailer: Mailer,
        count_login: CountLogin = uncounted,
        sms: SmsSender | None = None,
    ) -> tuple[Authentication, dict[str, Any]]:
        """Return who resolves the tokens of subscribers, and what their handlers ask for."""
        theirs = subscriber_context(context)
        authentication = Authentication(theirs.reader)
        parts = cls(
            theirs,
            authentication,
            passwords,
            sealer,
            mailer,
            count_login,
            sms=sms,
            links_prefix="sub_",
        )
        return authentication, parts.dependencies() | {"context": theirs}

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
            "sms": self._sms,
            "phones": self._phones,
            "sealer": self._sealer,
            "set_ups": self._set_ups,
            "subscriber_world": self._subscribers[1] if self._subscribers else {},
        }
