"""What is wrong with the parameters of a command."""

from __future__ import annotations


class ParameterError(ValueError):
    """A parameter of a command is missing or wrong; `number` is the numbered error."""

    def __init__(self, text: str, number: int = 1018) -> None:
        super().__init__(text)
        self.number = number
