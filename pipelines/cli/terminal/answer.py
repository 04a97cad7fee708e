"""The first screen: the answer in at most twenty lines of eighty characters."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence

from pipelines.figures.number_format import share_of_paths
from pipelines.windows.answer import Answer, ChipAnswer, Reading

WIDTH, LINES = 80, 20
HEADS = ("chip", "own", "vendor", "exports open", "units 10/50/90 %", "limit")
KEPT = "\u00a0%"
KEY = "own, vendor: paths on which US orders (the chip's, its whole vendor's) are met"
RIGHT = (1, 2)  # columns of figures
DEVIATING = 3  # shown at most
NAME_WIDTH = 24  # of a chip in a command


def answer_lines(
    answer: Answer, *, run_id: str, out: str | None = None, rows: str | None = None
) -> list[str]:
    """The first screen, line by line; no word is cut.

    Parameters
    ----------
    answer : Answer
    run_id : str
        The windows run.
    out : str, optional
        Folder that received the files.
    rows : str, optional
        How many rows of an order book were accepted.
    """
    top = [*_wrapped(f"{answer.policy.title} ({answer.policy.name})"), *_period(answer)]
    beside = _wrapped(_absent(answer)) if answer.refused or answer.missing else []
    said = [*_wrapped(answer.sentence), *_wrapped(answer.supported)]
    basis, after = _basis(answer, rows), _next(answer, run_id, out)
    stated, key, table = _wrapped(answer.basis.statements_line), [KEY], _fitting(answer, LINES)
    above, below, gap = [""], [""], [""]
    blocks = [top, key, above, table, beside, below, said, gap, basis, stated, after]
    for optional in (gap, stated, key, below, above):  # where there is no room, the chips come before them
        if sum(map(len, blocks)) > LINES:
            optional.clear()
    table[:] = _fitting(answer, LINES - sum(map(len, blocks)) + len(table))
    return [line for block in blocks for line in block]


def _fitting(answer: Answer, room: int) -> list[str]:
    """The table with as many chips as there is room for, and how many are left."""
    for shown in range(len(answer.chips), 0, -1):
        left = len(answer.chips) - shown
        more = [f"and {left} more: overspill show windows"] if left else []
        lines = [*_table(answer, answer.chips[:shown]), *more]
        if len(lines) <= room:
            return lines
    return ["no chip can be exported" if not answer.chips else "all chips: overspill show windows"]


def _period(answer: Answer) -> list[str]:
    return _wrapped(f"now {answer.now_stated}, horizon {answer.period(answer.end)}, a forecast")


def _table(answer: Answer, chips: Sequence[ChipAnswer]) -> list[str]:
    """One line a chip; where names are too long for that, more."""
    rows = [HEADS, *(_cells(answer, chip) for chip in chips)]
    for cells in (rows, [(*row[:-1], name) for row, name in zip(rows, _limits(chips), strict=True)]):
        widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
        lines = ["  ".join(map(_aligned, row, widths, range(len(HEADS)))).rstrip() for row in cells]
        if max(map(len, lines)) <= WIDTH:
            return lines
    texts = ("; ".join(f"{head} {cell}" for head, cell in zip(HEADS, row, strict=True)) for row in rows[1:])
    return [line for text in texts for line in _wrapped(text)]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in RIGHT else cell.ljust(width)


def _limits(chips: Sequence[ChipAnswer]) -> list[str]:
    """The last column without the shares of paths, for which there may be no room."""
    return [HEADS[-1], *(chip.first.limit for chip in chips)]


def _cells(answer: Answer, chip: ChipAnswer) -> tuple[str, ...]:
    first = chip.first
    limit = f"{first.limit} {share_of_paths(first.limit_share)}"
    return chip.chip, _met(chip.own), _met(chip.whole), answer.window(first), first.units_shown, limit


def _met(reading: Reading | None) -> str:
    return "" if reading is None else share_of_paths(reading.met_now)


def _absent(answer: Answer) -> str:
    parts = []
    if answer.refused:
        parts.append(f"not eligible: {', '.join(answer.refused)}")
    if answer.missing:
        parts.append(f"not forecast: {', '.join(answer.missing)}")
    return "; ".join(parts)


def _basis(answer: Answer, rows: str | None) -> list[str]:
    basis, deviating = answer.basis, answer.deviating
    named = ", ".join(deviating[:DEVIATING]) or "none"
    if len(deviating) > DEVIATING:
        named += f" and {len(deviating) - DEVIATING} more"
    return [
        *_wrapped(f"data: {basis.source}{f' ({rows})' if rows else ''}, as known on {basis.known_until}"),
        *_wrapped(f"assumptions that differ from the default: {named}"),
    ]


def _next(answer: Answer, run_id: str, out: str | None) -> list[str]:
    leader = answer.leader
    asked = f" --chip {shlex.quote(leader.chip)}" if leader and len(leader.chip) <= NAME_WIDTH else ""
    commands = [
        (f"overspill show windows --run {run_id[:8]}", "all policies, chips and scopes"),
        ("overspill ui", "charts and lineage" + (f"; or open {out}/answer.html" if out else "")),
        (f"overspill sensitivity{asked}", "which assumptions matter"),
    ]
    width = max(len(command) for command, _ in commands)
    lines = [f"{command.ljust(width)}  {why}" for command, why in commands]
    return [line if len(line) <= WIDTH else line.partition("; or ")[0] for line in lines]


def _wrapped(text: str) -> list[str]:
    """Lines broken between words, no figure apart from its sign."""
    lines = textwrap.wrap(text.replace(" %", KEPT), WIDTH, break_long_words=False, break_on_hyphens=False)
    return [line.replace(KEPT, " %") for line in lines]
