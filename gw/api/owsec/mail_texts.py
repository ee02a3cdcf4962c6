"""What the gateway writes to users, by mail and by text message."""

from __future__ import annotations

from typing import NamedTuple

from gw.store.rows import UserRow


class Text(NamedTuple):
    """Subject and body of a mail."""

    subject: str
    body: str


def password_reset(user: UserRow, link: str, hours: int) -> Text:
    """Somebody asked for a new password."""
    return Text(
        "Choose a new password",
        f"""Hello {user.name or user.email},

somebody, probably you, asked for a new password for {user.email}. Choose it here:

    {link}

The link works once, for {hours} hours. If it was not you, ignore this mail: your password
stays as it is.
""",
    )


def email_verification(user: UserRow, link: str, hours: int) -> Text:
    """An address is to be verified, or a new user is invited."""
    return Text(
        "Confirm your address",
        f"""Hello {user.name or user.email},

an account of the gateway was made for {user.email}. Confirm that the address is yours:

    {link}

The link works once, for {hours} hours. You can sign in afterwards. If you expected nothing of
the kind, ignore this mail.
""",
    )


def sign_in_code(user: UserRow, code: str, minutes: int) -> Text:
    """The second factor of a sign-in."""
    return Text(
        "Your code to sign in",
        f"""Hello {user.name or user.email},

the code to sign in is

    {code}

It works once, for {minutes} minutes. If you are not signing in, somebody knows your password:
change it.
""",
    )


def sign_in_sms(code: str, minutes: int) -> str:
    """Return the second factor of a sign-in, as a text message."""
    return f"{code} is your code to sign in. It works once, for {minutes} minutes."
