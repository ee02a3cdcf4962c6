"""What can go wrong in the store, and whether trying again makes sense."""

from __future__ import annotations


class StoreError(Exception):
    """The database could not do what was asked. A commit that raises it has written nothing.

    (The exception is OutcomeUnknownError.)

    `retriable`: the cause lies outside of the call (busy, full disk, too much to do), so the
    same call may succeed later. Otherwise the database is damaged, closed, or not ours.
    """

    def __init__(self, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.retriable = retriable


class OutcomeUnknownError(StoreError):
    """The connection died while the batch was being committed: it may be written, or not.

    Commit the same Batch object again: the store finds out, and does not write it twice.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retriable=True)


class BatchError(StoreError):
    """A write of the batch can never be done: a constraint, a wrong type, a number too large.

    `index` is its place in `Batch.ops`; the batch may be committed without it.
    """

    def __init__(self, message: str, *, index: int) -> None:
        super().__init__(message)
        self.index = index


class MigrationError(StoreError):
    """The schema of the database is not one that this version can use or bring up to date."""


def unreadable(*, retriable: bool) -> str:
    """Return what a REST caller is told; what exactly is wrong is for the log."""
    if retriable:
        return "the database does not answer just now"
    return "the store cannot be read"
