"""/wwwassets: the pages that the sign-in form links to, and a schema for UIs (security.md 6)."""

from __future__ import annotations

import html
from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from gw.api.context import Context
from gw.api.docs import PUBLIC, page
from gw.api.envelope import Answer
from gw.core.settings import Security

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="icon" href="/favicon.ico" type="image/svg+xml">
  <link rel="stylesheet" href="/docs/docs.css">
</head>
<body class="cover">
  <main class="text">
    <h1>{title}</h1>
{body}
  </main>
</body>
</html>
"""
_ACCESS: Final = """    <p>Use this gateway only if you were given an account, and only for what
      it was given for. Do not share the account. What is done is recorded with the name
      of its user.</p>
    <p>Sign out when you are done; tell an administrator if you think that somebody else
      knows your password.</p>"""


@get("/wwwassets/ucentral.schema.pretty.json", **PUBLIC)
async def read_schema(context: NamedDependency[Context]) -> Answer:
    """Answer the schema of access points: UIs ask for it here where no owprov is announced."""
    schema = context.validation.published("ap")
    return Response(schema, media_type="application/json", headers={"cache-control": "no-cache"})


def pages(rules: Security) -> list[HTTPRouteHandler]:
    """Return the routes of the pages."""
    return [
        read_schema,
        _page("password_policy", "Password policy", _password(rules)),
        _page("access_policy", "Access policy", _ACCESS),
    ]


def _page(name: str, title: str, body: str) -> HTTPRouteHandler:
    text = _PAGE.format(title=title, body=body)
    return page(f"/wwwassets/{name}.html", name, text.encode(), "text/html")


def describe_password(rules: Security) -> list[str]:
    """Say what a new password has to be, as sentences of HTML."""
    lines = []
    if rules.password_pattern == Security().password_pattern:
        lines.append(
            "A password has 8 to 128 characters, among them an upper case letter, a lower case "
            "letter, a digit, and a character that is none of these."
        )
    else:
        pattern = html.escape(rules.password_pattern)
        lines.append(f"A password matches the regular expression <code>{pattern}</code>")
    if rules.password_history:
        lines.append(f"The last {rules.password_history} passwords may not be used again.")
    return lines


def _password(rules: Security) -> str:
    lines = [
        *describe_password(rules),
        f"Above {rules.login_attempts_per_minute} attempts to sign in within a minute, further "
        "ones from the same address are refused; for one user above "
        f"{rules.login_attempts_per_user}.",
    ]
    return "\n".join(f"    <p>{line}</p>" for line in lines)
