"""The common SQL of queries and writes in the words of PostgreSQL, and texts that it can hold."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_LIST = re.compile(r"\bjson_each\(\?\)")


@lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """Return a statement with `$1`, `$2` ... for `?`.

    `json_each(?)`, the rows of a JSON list of texts, becomes PostgreSQL's function for it. A
    question mark within a text of the statement is not allowed for.
    """
    sql = _LIST.sub("json_array_elements_text(CAST(? AS json)) AS each_of(value)", sql)
    head, *rest = sql.split("?")
    return head + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))


def storable(value: Any) -> Any:
    """Return a parameter without the one character that a text of PostgreSQL cannot hold.

    A device may send U+0000 in a log line; it becomes U+FFFD. Bytes are kept as they are.
    """
    if isinstance(value, str) and "\0" in value:
        return value.replace("\0", "\ufffd")
    return value
