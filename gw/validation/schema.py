"""One JSON Schema, compiled: all that a configuration breaks, with the place of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import jsonschema_rs
import msgspec

from gw.validation.formats import FORMATS
from gw.validation.problems import Problem, problem, shown

MAX_BYTES: Final = 8_000_000
"""Largest schema file."""
LISTED_SIZE: Final = 10_000
"""Values of a document whose problems are all listed; of a larger one only the first is.

The library gathers all errors before it gives the first, 10 us for each, and lets nothing else
run meanwhile: a hostile document of millions would stop the process for a minute.
"""
_BACKTRACKS: Final = 100_000
"""Steps of one pattern on one text, after which the text counts as not matching."""
_MASK: Final = "value"


class SchemaError(Exception):
    """The text is not a JSON Schema that can be used; the message says why."""


class SchemaFailure(Exception):  # noqa: N818 - not the configuration's error, nor the caller's
    """A validator that broke while it judged: nothing is known about the configuration."""


class Findings(msgspec.Struct):
    """What is wrong with one configuration."""

    problems: list[Problem]
    omitted: int = 0
    """Further problems that are not listed. At least; 0 with none listed: it is valid."""


class Schema:
    """A compiled JSON Schema of any draft (4 to 2020-12; without `$schema`, the newest)."""

    def __init__(self, text: bytes, origin: str) -> None:
        """Compile. `origin` is for messages. Raises SchemaError."""
        if len(text) > MAX_BYTES:
            raise SchemaError(f"{origin}: larger than {MAX_BYTES} bytes")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SchemaError(f"{origin}: not JSON: {error}") from None
        if not isinstance(document, dict):
            raise SchemaError(f"{origin}: not a JSON Schema: not an object")
        self.name = _name(document, origin)
        self.text = text
        """As it was read."""
        self.definitions = document.get("$defs", {})
        try:
            self._validator = jsonschema_rs.validator_for(
                document,
                formats=FORMATS,
                validate_formats=True,
                # A file that names others, on the disk or in the network, has to hold them.
                offline=True,
                mask=_MASK,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKS),
            )
        except (ValueError, jsonschema_rs.ReferencingError, RecursionError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SchemaError(f"{origin}: not a JSON Schema: {reason[0][:300]}") from None

    def examine(self, document: object, values: int, most: int) -> Findings:
        """Return what a decoded configuration breaks, `most` problems at most.

        `values` is how many values it has, at most. Raises SchemaFailure if the validator breaks.
        """
        try:
            if self._validator.is_valid(document):
                return Findings([])
            if values <= LISTED_SIZE:
                found = _listed(self._validator.iter_errors(document), document, most)
            else:
                found = Findings([*_first(self._validator, document)], omitted=1)
        except Exception as error:  # noqa: BLE001 - whatever the library, or a format, raises
            # Its text may quote the configuration, which may hold secrets.
            raise SchemaFailure(type(error).__name__) from None
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise SchemaFailure(type(error).__name__) from None
        # Nothing to name must not look as if it were valid.
        found.problems = found.problems or [problem((), "does not satisfy the schema")]
        return found


def _name(document: dict[str, Any], origin: str) -> str:
    for member in ("$id", "id", "title"):
        if isinstance(found := document.get(member), str) and found:
            return found[:200]
    return origin


def _listed(
    errors: Iterable[jsonschema_rs.ValidationError], document: object, most: int
) -> Findings:
    problems: dict[tuple[str, str], Problem] = {}
    omitted = 0
    for error in errors:
        if len(problems) >= most:
            omitted += 1
            continue
        for found in _problems(error, document):
            problems[found.path, found.description] = found
    omitted += max(0, len(problems) - most)
    return Findings(list(problems.values())[:most], omitted)


def _first(validator: jsonschema_rs.Validator, document: object) -> Iterator[Problem]:
    try:
        validator.validate(document)
    except jsonschema_rs.ValidationError as error:
        yield next(_problems(error, document))


def _problems(error: jsonschema_rs.ValidationError, document: object) -> Iterator[Problem]:
    """Yield the problems behind an error: of alternatives, those of the one that was meant."""
    branch = _meant(error)
    if branch is None:
        yield problem(error.instance_path, _description(error, document))
        return
    for part in branch:
        yield from _problems(part, document)


def _meant(error: jsonschema_rs.ValidationError) -> Sequence[jsonschema_rs.ValidationError] | None:
    """Return the errors of the one alternative whose type and fixed members the value has."""
    if error.kind.name not in ("anyOf", "oneOf"):
        return None
    place = len(error.instance_path)
    fitting = [
        branch
        for branch in getattr(error.kind, "context", ())
        if branch and not any(_excludes(part, place) for part in branch)
    ]
    return min(fitting, key=len, default=None)


def _excludes(part: jsonschema_rs.ValidationError, place: int) -> bool:
    """Tell whether an error shows that this alternative was not meant."""
    depth = len(part.instance_path) - place
    name = part.kind.name
    if name == "const" or (name == "enum" and len(getattr(part.kind, "options", ())) == 1):
        return depth <= 1
    return depth == 0 and name in ("type", "enum", "required", "additionalProperties")


def _description(error: jsonschema_rs.ValidationError, document: object) -> str:
    name = error.kind.name
    if name in ("anyOf", "oneOf") and (context := getattr(error.kind, "context", None)):
        parts = [part for branch in context for part in branch[:1] if branch]
        if parts and all(len(part.instance_path) == len(error.instance_path) for part in parts):
            text = "none of the alternatives fits: " + ", or ".join(
                dict.fromkeys(_sentence(part) for part in parts)
            )
        else:
            text = "none of the alternatives fits"
    else:
        text = _sentence(error)
    found = shown(error.instance_path, _at(document, error.instance_path))
    return f"{text} (it is {found})" if found else text


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    """Return the library's words; the value is masked in them, as it may be a secret."""
    if error.kind.name == "falseSchema":
        return "is not allowed here"
    if error.kind.name == "format":
        return f"is not of the format {getattr(error.kind, 'format', '')}"
    return error.message.removeprefix(f"{_MASK} ")


def _at(document: Any, place: Sequence[str | int]) -> object:
    """Return the value at a place; a container, which is never shown, if it is not there."""
    try:
        for one in place:
            # The library gives names that look like numbers as numbers.
            document = document[str(one) if isinstance(document, dict) else one]
    except (LookupError, TypeError):
        return ()
    return document
