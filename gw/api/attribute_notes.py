"""The strings below the attributes of a class, which say what they mean."""

from __future__ import annotations

import ast
import inspect
import textwrap


def notes_of(kind: type) -> dict[str, str]:
    """Return the notes of a class and its bases by attribute; nothing if there is no source."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one.__module__.startswith("gw."):
            found |= _own_notes(one)
    return found


def _own_notes(kind: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, str] = {}
    assert isinstance(tree, ast.ClassDef)
    for attribute, note in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(attribute, ast.AnnAssign)
            and isinstance(attribute.target, ast.Name)
            and isinstance(note, ast.Expr)
            and isinstance(note.value, ast.Constant)
            and isinstance(note.value.value, str)
        ):
            found[attribute.target.id] = inspect.cleandoc(note.value.value)
    return found
