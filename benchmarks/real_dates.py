"""First passages on real series: the network beside the peers, scored against what happened, in one run.

    python benchmarks/real_dates.py [--series 100] [--only NAME ...] [--with NAME ...]
        [--add NAME=MODULE:CLASS] [--checkpoint models/pretrained] [--cache DIR] [--json FILE]

Questions (`real_questions.py`): is a level passed within the horizon, on M3, M1, tourism and US monthly
figures; does the cover of US unfilled orders, or the use of capacity, fall below its normal for three
periods. They are drawn from thousands of rolling origins; barriers and normal levels come from the history
alone. `--series` questions per panel; questions that hold at the origin already are not asked.

Forecasters (`real_date_forecasters.py`): by default all but the slow ones; `--with AutoARIMA` adds one, and
`--add bank=package.module:Class` any path forecaster of the product by its place. `network + bank` has half
of its paths from each. `--cache` keeps the answers of libraries.

Scores: censored CRPS of the first passage in steps (forecasting/evaluation/scores.py), which is H times the
integrated Brier score; the Brier score of P(T <= t) at a quarter, half and all of the horizon; P(T <= H) less
what happened, for rising and falling levels apart (bias); and the reliability of P(T <= H). Differences have
standard errors that let the questions of one series hang together.

Shapes: N questions, P paths, H horizon steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
from real_date_forecasters import PATHS, Forecaster, forecasters, history_of, imported, product_paths
from real_date_scores import BINS, Answers, difference, reliability_rows, summary
from real_questions import Problem, Question, competition_sources, macro_sources
from store import Arrays, digest, recalled, unite

from forecasting.panel.history import Floats
from forecasting.saturation.events import passages
from forecasting.saturation.first_passage import probability_by_step
from forecasting.saturation.measures import measured_series

BASELINE = "SeasonalNaive"
MIXTURES = (("network", "AutoETS"), ("network", "bank"))


def curve(question: Question, paths: Floats, problem: Problem) -> Floats:
    """P(T <= t) for t = 1 ... H by the share of the paths [P, H, V], by the product's own rule."""
    history = history_of(problem, [question])
    series = measured_series(history, paths[None], question.query.measure)
    level = np.full((1, 1), question.threshold.level)
    steps = passages(series, question.threshold, level=level, hold=question.query.hold)[0, 0]
    return np.asarray(probability_by_step(steps, problem.horizon + 1))[1:]


def answer(problem: Problem, forecaster: Forecaster) -> dict[str, Floats]:
    """P(T <= t) [N, H] of a forecaster, and its seconds per question [N]."""
    started = time.perf_counter()
    drawn = forecaster.draw(problem)
    seconds = (time.perf_counter() - started) / len(drawn)
    curves = [
        curve(question, paths, problem) for question, paths in zip(problem.questions, drawn, strict=True)
    ]
    return {"curves": np.stack(curves), "seconds": np.full(len(curves), seconds)}


def answers(
    problem: Problem, asked: Mapping[str, Forecaster], cache: Path | None, notes: list[str]
) -> Answers:
    """Answers of all forecasters; one that fails is noted and the others answer."""
    found: Answers = {}
    for name, forecaster in asked.items():
        try:
            make = partial(answer, problem, forecaster)
            if not forecaster.library:
                found[name] = make()
                continue
            key = digest(name, metadata.version(forecaster.library), PATHS, *content(problem))
            found[name] = recalled(cache, f"{problem.panel}-{name}-{key}".replace(" ", "-"), make)
        except Exception as error:  # noqa: BLE001 (a forecaster that fails must not end the run)
            notes.append(f"{name}, {problem.panel}: {type(error).__name__}: {error}")
    for members in MIXTURES:
        if set(members) <= found.keys():
            found[" + ".join(members)] = mixed([found[name] for name in members])
    return found


def mixed(members: Sequence[Arrays]) -> dict[str, Floats]:
    """What equally many paths of all members say together: the share of all is the mean of the shares."""
    return {
        "curves": np.mean([each["curves"] for each in members], axis=0),
        "seconds": np.sum([each["seconds"] for each in members], axis=0),
    }


def content(problem: Problem) -> tuple[object, ...]:
    """What the answers to a problem depend on."""
    questions = [
        (question.threshold, question.query.hold, question.query.measure) for question in problem.questions
    ]
    return (
        problem.season,
        problem.horizon,
        questions,
        unite(question.history for question in problem.questions),
    )


def without_nan(content: object) -> object:
    """The same with null in place of a number that there is not; JSON knows no NaN."""
    if isinstance(content, dict):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and np.isnan(content) else content


def complete(answered: Sequence[Answers]) -> list[str]:
    """Forecasters that answered on every panel, in the order asked."""
    return [name for name in answered[0] if all(name in found for found in answered)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def report(problems: Sequence[Problem], answered: Sequence[Answers]) -> str:
    """CRPS by panel, the mean scores over the panels, and the reliability, as Markdown."""
    names, rows = complete(answered), summary(problems, answered)
    of = {(row["panel"], row["forecaster"]): row for row in rows}
    panels = [problem.panel for problem in problems]

    def mean(name: str, score: str) -> str:
        known = [value for panel in panels if np.isfinite(value := float(str(of[panel, name][score])))]
        return f"{np.mean(known):.3f}" if known else "-"

    by_panel = [
        [panel, str(of[panel, names[0]]["questions"]), f"{of[panel, names[0]]['passed']:.2f}"]
        + [f"{of[panel, name]['crps']:.3f}" for name in names]
        for panel in panels
    ]
    overall = []
    for name in names:
        gap, error = difference(problems, answered, name, names[0])
        ratio = (
            [of[panel, name]["crps"] / of[panel, BASELINE]["crps"] for panel in panels]
            if BASELINE in names
            else []
        )
        overall.append(
            [
                name,
                f"{np.exp(np.mean(np.log(ratio))):.3f}" if ratio else "-",
                *[
                    mean(name, score)
                    for score in ("integrated_brier", "brier_quarter", "brier_half", "brier_end")
                ],
                "-" if name == names[0] else f"{gap:+.4f} ({error:.4f})",
                *[mean(name, score) for score in ("bias_rising", "bias_falling", "seconds")],
            ]
        )
    bins = {name: reliability_rows(problems, answered, name) for name in names}
    reliable = [
        [
            name,
            *(
                f"{row['stated']:.2f}: {row['passed']:.2f} ({row['questions']})" if row["questions"] else "-"
                for row in bins[name]
            ),
        ]
        for name in names
    ]
    columns = ("forecaster", f"CRPS over {BASELINE}", "integrated Brier", "at H/4", "at H/2", "at H")
    more = (f"less {names[0]} (s.e.)", "bias, rising", "bias, falling", "seconds a panel")
    return "\n\n".join(
        [
            table(["censored CRPS in steps", "questions", "passed", *names], by_panel),
            table([*columns, *more], overall),
            table(["stated P(T <= H): passed (questions)", *(f"bin {k + 1}" for k in range(BINS))], reliable),
        ]
    )


def chosen(options: argparse.Namespace) -> dict[str, Forecaster]:
    """Forecasters that are asked: those named, or all that are quick and those added."""
    known = forecasters(options.checkpoint, seed=options.seed)
    for text in options.add:
        name, _, place = text.partition("=")
        known[name] = Forecaster(draw=partial(product_paths, make=imported(place), seed=options.seed))
    wanted = options.only or [name for name, each in known.items() if not each.slow or name in options.also]
    return {name: known[name] for name in wanted}


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=100, help="questions per panel")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[], help="ask these alone")
    parser.add_argument("--with", dest="also", nargs="+", default=[], help="ask these slow ones too")
    parser.add_argument("--add", nargs="+", default=[], help="NAME=MODULE:CLASS of a path forecaster")
    parser.add_argument("--checkpoint", type=Path, default=Path("models/pretrained"))
    parser.add_argument("--cache", type=Path, help="folder where the answers of libraries are kept")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    problems = [
        source.problem(options.series, options.seed) for source in (*competition_sources(), *macro_sources())
    ]
    notes: list[str] = []
    answered = [answers(problem, chosen(options), options.cache, notes) for problem in problems]
    print(report(problems, answered))
    print(f"\n{sum(problem.origins for problem in problems)} origins could be drawn.")
    print("".join(f"\n- {note}" for note in dict.fromkeys(notes)))
    if options.json:
        found = {
            "rows": summary(problems, answered),
            "reliability": {name: reliability_rows(problems, answered, name) for name in complete(answered)},
            "seed": options.seed,
        }
        options.json.write_text(json.dumps(without_nan(found), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
