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
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from take_screenshots import take

from forecasting.frequencies import Frequency, label
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
DEFAULT = "auto"
OURS = {
    DEFAULT,
    "network",
    "bank",
    "statistical",
    "half",
    "walk",
}  # in the names of ours and of mixtures
Measured = tuple[str, str, str, bool]  # what, our figure, what it is held against, and whether the bar is met


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
        return f"on {percent(p_any)} of paths"
    return f"{quarter(opens, none='')} to {quarter(closes, none='past the horizon')}"


def scores(leaderboard: pl.DataFrame) -> str:
    """Markdown table of what was measured, the best of the others, and whether the bar is met."""
    rows = [*of_the_panel(leaderboard), *of_events(), *of_accuracy(), *of_real_dates(), of_order_book()]
    lines = [
        ["what was measured (less is better, but for coverage)", "overspill", "against", "bar"],
        ["---"] * 4,
    ]
    lines += [[what, found, against, "met" if met else "**missed**"] for what, found, against, met in rows]
    return markdown(lines)


def of_the_panel(leaderboard: pl.DataFrame) -> list[Measured]:
    """The default forecaster in the backtest of the public panel, beside the best single model."""
    board = {row["forecaster"]: row for row in leaderboard.to_dicts()}
    auto = board[DEFAULT]
    peers = [row for name, row in board.items() if name not in OURS]
    flows, dates = (min(row[name] for row in peers) for name in ("crps", "date_crps"))
    return [
        (
            f"orders and capacity, {auto['forecasts']} backtest forecasts of the public panel: CRPS",
            f"{auto['crps']:.3f}",
            f"best single model {flows:.3f}",
            auto["crps"] < flows,
        ),
        (
            "the same forecasts: censored CRPS of the date on which demand is met",
            f"{auto['date_crps']:.3f}",
            f"best single model {dates:.3f}",
            auto["date_crps"] < dates,
        ),
        (
            "the same forecasts: coverage of the 80 % interval",
            f"{auto['coverage_80']:.3f}",
            "76 to 84 % wanted",
            0.76 <= auto["coverage_80"] <= 0.84,
        ),
    ]


def of_events() -> list[Measured]:
    """P(crossing) of simulated processes."""
    cells = table("First passages of known processes")["all"]
    error = {name: number(cell) for name, cell in cells.items() if name != "process"}
    peer, least = best(error)
    return [
        (
            "P(crossing within 24 steps) of processes whose truth is known: mean error",
            f"{error[DEFAULT]:.3f} (bank alone {error['bank']:.3f})",
            f"0.75 x {peer} = {0.75 * least:.3f} wanted",
            error[DEFAULT] <= 0.75 * least,
        )
    ]


def of_accuracy() -> list[Measured]:
    """Scaled quantile loss on real panels."""
    sql = {name: number(row["SQL"]) for name, row in table("Accuracy on real panels").items()}
    peer, least = best(sql)
    return [
        (
            "M3, tourism and FRED-QD, not seen in training: scaled quantile loss over SeasonalNaive",
            f"{sql[DEFAULT]:.3f}",
            f"{peer} {least:.3f}",
            sql[DEFAULT] < least,
        )
    ]


def of_real_dates() -> list[Measured]:
    """Dates of events on series that nobody simulated."""
    rows = table("Dates on real series")
    crps = {name: number(row["CRPS over SeasonalNaive"]) for name, row in rows.items()}
    peer, least = best(crps)
    return [
        (
            "dates of events on eight real panels: censored CRPS over SeasonalNaive",
            f"{crps['auto']:.3f}",
            f"{peer} {least:.3f}",
            crps["auto"] < least,
        )
    ]


def of_order_book() -> Measured:
    """The order book beside DuckDB doing the same work."""
    rows = table("Order book")
    text = BENCHMARKS.read_text(encoding="utf-8")
    lines = next(re.finditer(r"^## Order book .*--lines (\d+)", text, re.MULTILINE))
    etl, duckdb = (
        number(next(row["CPU seconds"] for name, row in rows.items() if part in name))
        for part in ("nothing read before", "same work in DuckDB")
    )
    return (
        f"{int(lines[1]) // 1_000_000} million order lines: processor seconds of `overspill etl`",
        f"{etl:.1f}",
        f"0.7 x the same work in DuckDB = {0.7 * duckdb:.1f} wanted",
        etl < 0.7 * duckdb,
    )


def best(scores: Mapping[str, float]) -> tuple[str, float]:
    """The peer with the least score."""
    peers = {name: found for name, found in scores.items() if not set(re.split(r"[ ,]+", name)) & OURS}
    return min(peers.items(), key=lambda each: each[1])


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
