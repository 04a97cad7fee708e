"""Numbers as people read them: shares in percent, units in thousands and millions."""

from __future__ import annotations


def percent(share: float, *, digits: int | None = 0, spaced: bool = True) -> str:
    """A share in percent.

    Parameters
    ----------
    share : float
        From 0 to 1.
    digits : int, optional
        After the decimal point; None for as many as the share has (2.5 %, 50 %).
    spaced : bool
        Whether a space precedes the sign.
    """
    number = f"{100 * share:g}" if digits is None else f"{100 * share:.{digits}f}"
    return f"{number} %" if spaced else f"{number}%"


def share_of_paths(share: float, *, spaced: bool = False) -> str:
    """Share of paths in percent; no number of paths supports a flat 0 or 100 %.

    Parameters
    ----------
    share : float
        From 0 to 1.
    spaced : bool
        Whether a space follows the sign of what is too small or too large to be shown.
    """
    space = " " if spaced else ""
    if share < 0.01:
        return f"<{space}1 %"
    return f">{space}99 %" if share > 0.99 else percent(share)


def units_text(units: float) -> str:
    """Two figures carry what the estimate knows: 480k, 1.2M, 0."""
    if units < 1:
        return "0"
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if units >= size:
            scaled = units / size
            return f"{scaled:.0f}{suffix}" if scaled >= 10 else f"{scaled:.1f}{suffix}"
    return f"{units:.0f}"
