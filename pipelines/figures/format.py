"""Numbers as people read them: shares in percent, units in thousands and millions."""

from __future__ import annotations


def percent(share: float) -> str:
    """Share of paths; no number of paths supports a flat 0 or 100 %."""
    if share < 0.01:
        return "<1 %"
    return ">99 %" if share > 0.99 else f"{share:.0%}".replace("%", " %")


def units_text(units: float) -> str:
    """Two figures carry what the estimate knows: 480k, 1.2M, 0."""
    if units < 1:
        return "0"
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if units >= size:
            scaled = units / size
            return f"{scaled:.0f}{suffix}" if scaled >= 10 else f"{scaled:.1f}{suffix}"
    return f"{units:.0f}"
