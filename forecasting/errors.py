"""Errors that reach a user as one sentence: the rule, what was expected, what was found, and where."""

from __future__ import annotations


class OverspillError(Exception):
    """A failure that the command line reports as one sentence, without a traceback.

    Attributes
    ----------
    exit_code : int
        Exit status of the command: 1 for a failure, 2 for bad input or configuration.
    """

    exit_code = 1


class StepError(OverspillError):
    """A step could not be carried out although its input was in order (exit 1)."""


class InputError(OverspillError, ValueError):
    """Bad input or configuration (exit 2).

    Parameters
    ----------
    rule : str
        The rule that was broken, as a full clause ("orders must not be negative").
    expected, found : str, optional
        What the rule asks for, and the offending value.
    where : str, optional
        File, row, column or key.
    """

    exit_code = 2

    def __init__(self, rule: str, *, expected: str = "", found: str = "", where: str = "") -> None:
        self.rule, self.expected, self.found, self.where = rule, expected, found, where
        details = [f"expected {expected}"] if expected else []
        details += [f"found {found}"] if found else []
        sentence = f"{where}: {rule}" if where else rule
        super().__init__(sentence + (": " + ", ".join(details) if details else ""))


def require_at_least(minimum: int, **numbers: int) -> None:
    """Refuse a setting below its minimum; the keyword names it in the sentence.

    >>> require_at_least(1, horizon=16)

    Raises
    ------
    InputError
    """
    for name, number in numbers.items():
        if number < minimum:
            raise InputError(f"{name} must be at least {minimum}", found=str(number))
