"""`answer.html`: the answer on one page that opens by itself and prints, one card a chip.

The curves are drawn as SVG in the page, with neither script nor network. T periods from the first known to
the horizon.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from forecasting.frequencies import label
from pipelines.figures.number_format import share_of_paths
from pipelines.figures.theme import FONT, GRID, TEXT, Meaning
from pipelines.runtime.files.artifacts import write_atomic
from pipelines.windows.answer import OWN, SCOPES, VENDOR, Answer, ChipAnswer, Reading
from pipelines.windows.run_page import ANSWER_PAGE

LEFT, RIGHT, TOP, BOTTOM = 44, 352, 8, 118  # of the curves, in units of the drawing
WIDE, HIGH = 360, 140
COLOURS = {OWN: Meaning.OWN, VENDOR: Meaning.VENDOR}
STYLE = f"""
body{{font:15px/1.4 {FONT};color:{TEXT};max-width:1500px;margin:1em auto;padding:0 1em}}
h1{{font-size:20px;margin:0}} h2{{font-size:18px;margin:0 0 .4em}} p{{margin:.4em 0}}
.badge{{background:#fee838;padding:.1em .5em;font-weight:bold}}
.cards{{display:grid;gap:16px;margin:1em 0}}
.cards{{grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr))}}
.card{{border:1px solid #999;border-radius:4px;padding:12px 16px;break-inside:avoid;min-width:0}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.15em 1em;margin:0}}
dt{{color:#555}} dd{{margin:0;font-weight:bold;text-align:right}}
svg{{width:100%;height:auto;margin-top:8px}} text{{font:10px {FONT};fill:#444}}
.key{{display:inline-block;width:1.6em;height:.22em;vertical-align:middle;margin-right:.3em}}
.basis{{color:#444;font-size:13px}}
@page{{size:A4;margin:12mm}}
@media print{{body{{max-width:none;padding:0;font-size:11pt}}.cards{{grid-template-columns:1fr 1fr}}}}
"""


def write_answer(folder: Path, answer: Answer, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write the page into a run's folder.

    Raises
    ------
    StepError
        If the folder cannot be written.
    """
    text = answer_page(answer, tables)
    write_atomic(folder / ANSWER_PAGE, partial(Path.write_text, data=text, encoding="utf-8"))


def answer_page(answer: Answer, tables: Mapping[str, pl.DataFrame]) -> str:
    """The page.

    Parameters
    ----------
    answer : Answer
    tables : mapping
        `windows`, `window_steps` and `saturation` of the run.
    """
    deviating = ", ".join(answer.deviating)
    badge = '<span class="badge">what-if</span> ' if deviating else ""
    cards = "".join(_card(answer, chip, tables) for chip in answer.chips)
    basis = [
        f"{answer.basis.line}.",
        f"Assumptions that differ from the default: {deviating or 'none'}.",
        *([f"{answer.basis.statements_line}.".capitalize()] if answer.basis.statements else []),
        *_absent(answer),
    ]
    lines = "".join(f'<p class="basis">{html.escape(line)}</p>' for line in basis)
    title = html.escape(answer.name)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{badge}{html.escape(answer.policy.title)}</h1>"
        f"<p>Now: {answer.now_stated}. Horizon: {answer.period(answer.end)}. "
        f'Shares are shares of paths.</p><p id="answer"><strong>{html.escape(answer.sentence)}</strong></p>'
        f"{_legend()}"
        f'<div class="cards">{cards}</div>{lines}</body></html>'
    )


def _absent(answer: Answer) -> Iterator[str]:
    if answer.supported:
        yield f"{answer.supported[0].upper()}{answer.supported[1:]}."
    if answer.outside:
        yield f"Eligible by the letter, but outside every duty band: {', '.join(answer.outside)}."
    if answer.refused:
        yield f"Not eligible: {', '.join(answer.refused)}."
    if answer.missing:
        yield f"Not forecast: {', '.join(answer.missing)}."


def _legend() -> str:
    keys = [(COLOURS[scope], f"US demand met by then, {name}") for scope, name in SCOPES.items()]
    keys.append((Meaning.EXPORT, "exports open, own orders (area)"))
    spans = (f'<span class="key" style="background:{colour}"></span>{name}' for colour, name in keys)
    return f'<p class="basis">{" &emsp; ".join(spans)}</p>'


def _card(answer: Answer, chip: ChipAnswer, tables: Mapping[str, pl.DataFrame]) -> str:
    first = chip.first
    rows = [
        ("own orders met now", _met(chip.own)),
        ("whole vendor met now", _met(chip.whole)),
        ("exports open, own orders", answer.window(chip.own) if chip.own else "not asked"),
        ("exports open, whole vendor", answer.window(chip.whole) if chip.whole else "not asked"),
        ("units, 10 / 50 / 90 %", first.units_shown),
        ("limited by", f"{first.limit} ({share_of_paths(first.limit_share)})"),
    ]
    terms = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value).replace(' %', '&nbsp;%')}</dd>"
        for name, value in rows
    )
    curves = _curves(answer, chip, tables)
    return f'<section class="card"><h2>{html.escape(chip.chip)}</h2><dl>{terms}</dl>{curves}</section>'


def _met(reading: Reading | None) -> str:
    return "not asked" if reading is None else share_of_paths(reading.met_now)


def _curves(answer: Answer, chip: ChipAnswer, tables: Mapping[str, pl.DataFrame]) -> str:
    """P(met by t) for both readings, and P(open) as an area, on one axis of periods."""
    chosen = {"policy": answer.policy.name, "chip": chip.chip}
    days = tables["saturation"]["timestamp"].unique().sort().to_list()
    drawn = []
    steps = tables["window_steps"]
    opened = steps.filter(**chosen, scope=OWN).sort("timestamp") if steps.height else steps
    if opened.height:
        at = [_x(days.index(day), len(days)) for day in opened["timestamp"]]
        line = " ".join(f"{x:.1f},{_y(p):.1f}" for x, p in zip(at, opened["p_open"], strict=True))
        area = f"{at[0]:.1f},{BOTTOM} {line} {at[-1]:.1f},{BOTTOM}"
        drawn.append(f'<polygon points="{area}" fill="{Meaning.EXPORT}" opacity="0.35"/>')
    for scope, colour in COLOURS.items():
        row = tables["windows"].filter(**chosen, scope=scope)
        if row.height:
            drawn.append(_line(tables["saturation"], row.row(0, named=True), days, colour))
    names = [label(day, answer.frequency) for day in days]
    title = html.escape(f"{chip.chip}: share of paths on which US demand has been met by each period")
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img"><title>{title}</title>'
        f"{_axes(names)}{''.join(drawn)}</svg>"
    )


def _line(saturation: pl.DataFrame, row: Mapping[str, object], days: Sequence[object], colour: str) -> str:
    curve = saturation.filter(policy=row["policy"], item_id=row["scope_item"]).sort("timestamp")
    points: list[str] = []
    for day, share in curve.select("timestamp", "p_reached_by").iter_rows():
        x = _x(days.index(day), len(days))
        points += [f"{x:.1f},{points[-1].split(',')[1]}"] if points else []
        points.append(f"{x:.1f},{_y(share):.1f}")
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _axes(names: Sequence[str]) -> str:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{100 * share:.0f} %</text>')
    for place, anchor in ((0, "start"), (len(names) // 2, "middle"), (len(names) - 1, "end")):
        x = _x(place, len(names))
        parts.append(f'<text x="{x:.1f}" y="{HIGH - 6}" text-anchor="{anchor}">{names[place]}</text>')
    return "".join(parts)


def _x(place: int, count: int) -> float:
    return LEFT + (RIGHT - LEFT) * place / max(count - 1, 1)


def _y(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * share
