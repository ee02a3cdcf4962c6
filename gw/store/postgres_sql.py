"""The common SQL of queries and writes in the words of PostgreSQL, and texts that it can hold."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_LIST = re.compile(r"\bIN \(SELECT value FROM json_each\(\?\)\)")


@lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """Return a statement with `$1`, `$2` ... for `?`.

    A condition on a JSON list of texts, `IN (SELECT value FROM json_each(?))`, becomes one that an
    index serves. A question mark within a text of the statement is not allowed for.
    """
    sql = _LIST.sub("= ANY(ARRAY(SELECT json_array_elements_text(CAST(? AS json))))", sql)
    head, *rest = sql.split("?")
    return head + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))


def storable(value: Any) -> Any:
    """Return a parameter without the one character that a text of PostgreSQL cannot hold.

    A device may send U+0000 in a log line; it becomes U+FFFD. Bytes are kept as they are.
    """
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\ufffd")
    return value
