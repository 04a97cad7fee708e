"""Run the commands whose results README and docs show, and replace it: python docs/update_readme.py.

The screenshots are taken of the same run (docs/take_screenshots.py).

Between two marks of a document is what one run printed, or a table made of its files and of the tables in
docs/benchmarks.md. After new weights: run the benchmarks, put their tables into docs/benchmarks.md, then run
this; no other figure of README is written by hand.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
from take_screenshots import take

from forecasting.periods import Frequency, label
from pipelines.figures.number_format import percent, units_text

DOCS = Path(__file__).parent
ROOT = DOCS.parent
README, READING, SENSITIVITY = ROOT / "README.md", DOCS / "reading-the-answer.md", DOCS / "sensitivity.md"
BENCHMARKS = DOCS / "benchmarks.md"
OVERSPILL = str(Path(sys.executable).with_name("overspill"))
OUTPUTS = (
    (READING, "run", ["--set", "policies=[bis_2026_01]", "--out", "out"]),
    (READING, "show", ["--all"]),
    (SENSITIVITY, "sensitivity", []),
    (SENSITIVITY, "scenario", []),
)
SHOWN_CHIPS = ("H200", "MI325X")
HEADS = ("10 %", "50 %", "90 %")


def main() -> None:
    """Run one command after the other in a fresh folder and replace what stands between their marks."""
    with tempfile.TemporaryDirectory() as folder:
        for document, command, options in OUTPUTS:
            output = subprocess.run(  # noqa: S603
                [OVERSPILL, command, *options], cwd=folder, capture_output=True, text=True, check=True
            ).stdout
            replace(
                document, f"output of `overspill {command}`", fenced(output), end="<!-- end of output -->"
            )
        tables = {
            name: pl.read_parquet(f"{folder}/out/{name}.parquet") for name in ("windows", "leaderboard")
        }
        take(f"sqlite:///{folder}/mlruns/mlflow.db")
    replace(README, "answer", answer(tables["windows"]), end="<!-- end of answer -->")
    replace(README, "scores", scores(tables["leaderboard"]), end="<!-- end of scores -->")


def fenced(output: str) -> str:
    """What a command printed, as a block, without the address of its store."""
    lines = [line.rstrip() for line in output.splitlines() if not line.startswith("MLflow UI")]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return f"```text\n{text}\n```"


def answer(windows: pl.DataFrame) -> str:
    """Markdown table of four lines: two chips, and whose demand must be met."""
    rows = windows.filter(pl.col("chip").is_in(SHOWN_CHIPS), policy="bis_2026_01").to_dicts()
    now = label(rows[0]["now"], Frequency.QUARTER)
    head = ["chip", "whose demand", f"met in {now}", "met by, with 10 / 50 / 90 %", "exports open"]
    head += ["exportable units, 10 / 50 / 90 %", "limited by"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        met = [row[f"saturated_{q}"] for q in ("q10", "q50", "q90")]
        units = " / ".join(units_text(row[f"units_{q}"]) for q in ("q10", "q50", "q90"))
        lines.append(
            [
                row["chip"],
                row["scope"],
                percent(row["p_saturated_now"]),
                " / ".join(quarter(day, none="not by the horizon") for day in met),
                opening(row["window_opens"], row["window_closes"], row["p_any_window"]),
                units,
                f"{row['binding'].replace('_', ' ')} ({percent(row['binding_share'])} of paths)",
            ]
        )
    return markdown(lines)


def quarter(day: object, *, none: str) -> str:
    """Name of the quarter that ends on a day."""
    return none if day is None else label(day, Frequency.QUARTER)


def opening(opens: object, closes: object, p_any: float) -> str:
    """The next window in words."""
    if opens is None:
        return f"no window (at all: {percent(p_any)})"
    return f"{quarter(opens, none='')} to {quarter(closes, none='past the horizon')}"


def scores(leaderboard: pl.DataFrame) -> str:
    """Markdown table of what was measured, the best of the others, and whether the bar is met."""
    board = {row["forecaster"]: row for row in leaderboard.to_dicts()}
    ours = {name: board.pop(name) for name in ("blend", "network", "statistical")}
    flows, dates = (min(row[name] for row in board.values()) for name in ("crps", "date_crps"))
    blend = ours["blend"]
    events, accuracy = table("First passages of known processes"), table("Accuracy on real panels")
    error = {name: number(cell) for name, cell in events["all"].items() if name != "process"}
    sql = {name: number(row["SQL"]) for name, row in accuracy.items()}
    peers = {name: found for name, found in error.items() if name not in {"network", "half"}}
    others = {name: found for name, found in sql.items() if "network" not in name}
    best_peer, best_other = min(peers, key=peers.__getitem__), min(others, key=others.__getitem__)
    etl, duckdb = (seconds("Order book", name) for name in ("nothing read before", "DuckDB"))
    measured = [
        (
            f"orders and capacity, {blend['forecasts']} backtest forecasts of the public panel: CRPS",
            f"{blend['crps']:.3f}",
            f"best single model {flows:.3f}",
            blend["crps"] < flows,
        ),
        (
            "the same forecasts: censored CRPS of the date on which demand is met",
            f"{blend['date_crps']:.3f}",
            f"best single model {dates:.3f}",
            blend["date_crps"] < dates,
        ),
        (
            "the same forecasts: coverage of the 80 % interval",
            f"{blend['coverage_80']:.2f}",
            "75 to 85 % wanted",
            0.75 <= blend["coverage_80"] <= 0.85,
        ),
        (
            "P(crossing within 24 steps) of processes whose truth is known: mean error of the network",
            f"{error['network']:.3f}",
            f"0.75 x {best_peer} = {0.75 * peers[best_peer]:.3f} wanted",
            error["network"] <= 0.75 * peers[best_peer],
        ),
        (
            "M3, tourism and FRED-QD, not seen in training: scaled quantile loss of the network",
            f"{sql['network']:.3f}",
            f"{best_other} {others[best_other]:.3f}",
            sql["network"] < others[best_other],
        ),
        (
            "20 million order lines: seconds of `overspill etl`",
            f"{etl:.1f}",
            f"the same sums in DuckDB {duckdb:.1f}",
            etl < duckdb,
        ),
    ]
    lines = [
        ["what was measured (less is better, but for coverage)", "overspill", "against", "bar"],
        ["---"] * 4,
    ]
    lines += [
        [what, found, against, "met" if met else "**missed**"] for what, found, against, met in measured
    ]
    return markdown(lines)


def table(heading: str) -> dict[str, dict[str, str]]:
    """First table under a heading of docs/benchmarks.md: rows by their first cell, cells by column."""
    text = BENCHMARKS.read_text(encoding="utf-8").partition(f"## {heading}")[2]
    first = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    if first is None:
        raise SystemExit(f"{BENCHMARKS} has no table under {heading!r}")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in first[0].splitlines()]
    head, _, *body = rows
    return {row[0]: dict(zip(head, row, strict=True)) for row in body}


def number(cell: str) -> float:
    """The first number of a cell."""
    return float(re.findall(r"[\d.]+", cell)[0])


def seconds(heading: str, part: str) -> float:
    """Seconds in the row whose name holds a text."""
    rows = table(heading)
    return number(next(row["seconds"] for name, row in rows.items() if part in name))


def markdown(lines: list[list[str]]) -> str:
    """Lines of cells as a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def replace(document: Path, what: str, text: str, *, end: str) -> None:
    """Put a text between a mark and the end mark that follows it."""
    begin = f"<!-- {what}, written by docs/update_readme.py -->"
    head, mark, rest = document.read_text(encoding="utf-8").partition(begin)
    if not mark:
        raise SystemExit(f"{document} has no mark {begin}")
    document.write_text("\n".join([head + begin, text, end]) + rest.partition(end)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
