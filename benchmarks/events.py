"""First passages on processes of known truth: the network beside the peers, in one run.

    python benchmarks/events.py --checkpoint models/pretrained --series 30 [--no-peers] [--skip NAME ...]
        [--cache DIR] [--json FILE]

Each series comes from a process of `processes.py`, and its barrier is set so that the true probability of
crossing it within the horizon is uniform on 0.15-0.85. The truth is simulated from the process itself, from
the state in which the history ends. Reported per process and forecaster: the mean absolute error of
P(cross within H), the mean over the steps of the absolute error of P(T <= t), and the bias of
P(cross within H) of rising barriers, which is below 0 where growth is underestimated.

Peers: paths simulated from fitted AutoETS, AutoARIMA and AutoTheta; a bootstrap of past moves; and, with the
optional extra `bench`, neuralforecast's `simulate` (both methods, of a PatchTST) and GluonTS's DeepAR,
trained on the benchmark's own histories. `bank` is the bank of structural hypotheses; it always runs anew.
`auto` is the combination of `overspill predict`. `half` is the mixture
of the network's and AutoETS's paths, `half bank` that of the network's and the bank's.
`--cache` keeps the peers' answers, so that another checkpoint is judged beside them in seconds.

Shapes: N series, P paths, L context steps, H horizon steps, V variates.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from event_peers import (
    CLASSICS,
    CONTEXTS,
    NETWORK,
    TrainedPeers,
    bank_paths,
    bootstrap_paths,
    classical_paths,
    combined_paths,
    network_paths,
)
from neural_peers import DEEPAR_EPOCHS, DEEPAR_LAGS, METHODS, STEPS, recipe
from processes import PROCESSES, Floats, Problem
from store import Arrays, digest, recalled, unite

from models.inference.forecaster import NetworkForecaster

Maker = Callable[[Problem], list[Floats]]
OURS, PARTNER, HALF = "network", "AutoETS", "half"
SCORES = ("end", "cdf", "bias")
BANK, HALF_BANK, AUTO = "bank", "half bank", "auto"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A forecaster, the library that it comes from, and how it was trained."""

    make: Maker
    library: str = "numpy"
    recipe: str = ""


@dataclass(kw_only=True)
class Run:
    """Peers of one run, where their answers are kept, and what could not be had."""

    peers: dict[str, Peer]
    cache: Path | None
    notes: list[str] = field(default_factory=list)

    def answers(self, problem: Problem) -> dict[str, Arrays]:
        """`curves` [N, H] of P(T <= t) and `seconds` [N] per series, by peer."""
        answers = {}
        for name, peer in self.peers.items():
            try:
                key = digest(name, metadata.version(peer.library), peer.recipe, *asked(problem))
                place = f"{problem.process}-{problem.length}-{name}-{key}".replace(" ", "-")
                answers[name] = recalled(self.cache, place, partial(answer, problem, peer.make))
            except ImportError as error:
                self.notes.append(f"{name}: not installed ({error})")
            except Exception as error:  # noqa: BLE001 (a peer that fails must not end the run)
                self.notes.append(f"{name}: {type(error).__name__}: {error}")
        return answers


def asked(problem: Problem) -> tuple[object, ...]:
    """What the answers to a problem depend on."""
    barriers = np.array([question.barrier for question in problem.questions])
    return unite(question.history for question in problem.questions), barriers


def answer(problem: Problem, make: Maker) -> dict[str, Floats]:
    """Ask a forecaster: P(T <= t) [N, H], and the seconds per series [N]."""
    started = time.perf_counter()
    drawn = make(problem)
    seconds = (time.perf_counter() - started) / len(problem.questions)
    curves = [question.answer(paths) for question, paths in zip(problem.questions, drawn, strict=True)]
    return {"curves": np.stack(curves), "seconds": np.full(len(curves), seconds)}


def peers_of(problems: Sequence[Problem], *, seed: int, skip: Iterable[str]) -> dict[str, Peer]:
    """All peers but those to be skipped; the trained ones learn from these problems, when first asked."""
    trained = TrainedPeers(problems, seed=seed)
    steps = f"{recipe(STEPS)} {CONTEXTS} {len(problems[0].questions)} {seed}"
    peers = {"bootstrap": Peer(make=bootstrap_paths)}
    for name in CLASSICS:
        peers[name] = Peer(make=partial(classical_paths, name=name, seed=seed), library="statsforecast")
    for method in METHODS:
        peers[f"{NETWORK}, {method}"] = Peer(
            make=partial(trained.simulated, method=method), library="neuralforecast", recipe=steps
        )
    peers["DeepAR"] = Peer(
        make=trained.deepar,
        library="gluonts",
        recipe=f"{DEEPAR_EPOCHS} {DEEPAR_LAGS} {steps}",
    )
    return {name: peer for name, peer in peers.items() if name not in set(skip)}


def compare(
    network: NetworkForecaster, problems: Sequence[Problem], run: Run, *, seed: int
) -> list[dict[str, object]]:
    """One row per process, history length and forecaster with its two errors and its seconds."""
    rows: list[dict[str, object]] = []
    for problem in problems:
        ours = answer(problem, partial(network_paths, network=network, seed=seed))
        bank = answer(problem, partial(bank_paths, seed=seed))
        answers: dict[str, Arrays] = {
            OURS: ours,
            BANK: bank,
            HALF_BANK: half(ours, bank),
            AUTO: answer(problem, partial(combined_paths, network=network, seed=seed)),
            **run.answers(problem),
        }
        if PARTNER in answers:
            answers[HALF] = half(ours, answers[PARTNER])
        truth = np.stack([question.truth for question in problem.questions])
        rising = np.array([question.rising for question in problem.questions])
        for name, arrays in answers.items():
            signed = arrays["curves"] - truth
            error = np.abs(signed)
            rows.append(
                {
                    "process": problem.process,
                    "length": problem.length,
                    "forecaster": name,
                    "end": float(error[:, -1].mean()),
                    "cdf": float(error.mean()),
                    "bias": float(signed[rising, -1].mean()),
                    "seconds": float(arrays["seconds"].sum()),
                }
            )
    return rows


def half(one: Arrays, other: Arrays) -> dict[str, Floats]:
    """What equally many paths of both say together: the share of all is the mean of the two shares."""
    return {
        "curves": (one["curves"] + other["curves"]) / 2,
        "seconds": one["seconds"] + other["seconds"],
    }


def report(rows: list[dict[str, object]]) -> str:
    """Table of both errors and the bias per process (mean over the lengths), overall, and per length."""
    names = list(dict.fromkeys(str(row["forecaster"]) for row in rows))
    lines = [f"| process | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for part in (None, *PROCESSES, *CONTEXTS):
        chosen = [row for row in rows if part in {None, row["process"], row["length"]}]
        cells = []
        for name in names:
            own = [row for row in chosen if row["forecaster"] == name]
            end, cdf, bias = (np.nanmean([row[key] for row in own]) if own else np.nan for key in SCORES)
            cells.append(f"{end:.3f}, {cdf:.3f}, {bias:+.3f}")
        lines.append(f"| {'all' if part is None else part} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("models/pretrained"))
    parser.add_argument("--series", type=int, default=30, help="series per process and history length")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--skip", nargs="+", default=[], help="names of peers to leave out")
    parser.add_argument("--cache", type=Path, help="folder where the peers' answers are kept")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = NetworkForecaster.load(options.checkpoint, device="cpu")
    problems = [
        Problem.draw(process, length, series=options.series, seed=options.seed)
        for process in PROCESSES
        for length in CONTEXTS
    ]
    peers = peers_of(problems, seed=options.seed, skip=options.skip) if options.peers else {}
    run = Run(peers=peers, cache=options.cache)
    rows = compare(network, problems, run, seed=options.seed)
    print(report(rows))
    print("".join(f"\n- {note}" for note in dict.fromkeys(run.notes)))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
