"""Designs in which assumptions move together, by SALib: Morris' trajectories and Sobol's indices.

N points, K assumptions. Each assumption is taken as uniform between its low and high end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from SALib.analyze import morris as morris_indices
from SALib.analyze import sobol as sobol_indices
from SALib.sample import morris as morris_points
from SALib.sample import sobol as sobol_points

from forecasting.errors import InputError
from forecasting.panel.history import Floats
from forecasting.public.assumptions import Assumption

Design: TypeAlias = Literal["morris", "sobol"]
DEFAULT_SAMPLES: dict[Design, int] = {"morris": 6, "sobol": 16}
COLUMNS: dict[Design, tuple[str, ...]] = {
    "morris": ("mu_star", "mu_star_conf", "mu", "sigma"),
    "sobol": ("ST", "ST_conf", "S1", "S1_conf"),
}
LEVELS = 4  # of the grid that Morris' trajectories walk on: the usual choice (Campolongo et al. 2007)


def named_design(name: str, samples: int | None) -> Design | None:
    """The design of this name; None for one at a time, which takes no samples.

    Raises
    ------
    InputError
    """
    if name not in {"oat", *DEFAULT_SAMPLES}:
        raise InputError(
            "no such design", expected="oat, morris or sobol", found=repr(name), where="--design"
        )
    if name == "oat" and samples is not None:
        raise InputError(
            "one at a time takes no samples",
            expected="--design morris or sobol",
            found=str(samples),
            where="--samples",
        )
    return next((design for design in DEFAULT_SAMPLES if design == name), None)


def check_samples(design: Design, samples: int) -> None:
    """Refuse a number of samples that the design cannot use.

    Raises
    ------
    InputError
    """
    if samples < 2:
        raise InputError("a design needs at least 2 samples", found=str(samples), where="--samples")
    if design == "sobol" and samples & (samples - 1):
        raise InputError(
            "Sobol's design needs a power of two",
            expected="2, 4, 8, 16, ...",
            found=str(samples),
            where="--samples",
        )


def points(design: Design, assumptions: Mapping[str, Assumption], *, samples: int, seed: int) -> Floats:
    """Points [N, K] in the units of the assumptions.

    Morris (1991, Technometrics 33(2)): `samples` trajectories of K + 1 points, each a step in one assumption
    from the one before. Sobol: `samples` x (K + 2) points after Saltelli et al. (2010, Computer Physics
    Communications 181(2)).
    """
    check_samples(design, samples)
    problem = _problem(assumptions)
    if design == "morris":
        at = morris_points.sample(problem, samples, num_levels=LEVELS, seed=seed)
    else:
        at = sobol_points.sample(problem, samples, calc_second_order=False, seed=seed)
    low, high = np.array(problem["bounds"], dtype=np.float64).T
    # Scaling to a range may overshoot its end by a last bit.
    return np.asarray(np.clip(at, low, high), dtype=np.float64)


def indices(
    design: Design, assumptions: Mapping[str, Assumption], at: Floats, figures: Floats, *, seed: int
) -> dict[str, Floats]:
    """Indices [K] of each assumption for one figure [N] at the points [N, K].

    Morris: `mu_star`, the mean size of the figure's change per move through the whole range (its unit),
    `mu` with its sign, `sigma` its spread over the other assumptions' values. Sobol: `S1`, the share of the
    figure's variance due to the assumption alone, `ST` with all its interactions. `_conf` is half of the 95 %
    interval by resampling. A figure that never changes has indices of 0.
    """
    names = COLUMNS[design]
    if np.ptp(figures) == 0:
        return {name: np.zeros(len(assumptions)) for name in names}
    problem = _problem(assumptions)
    if design == "morris":
        found: Mapping[str, Any] = morris_indices.analyze(problem, at, figures, num_levels=LEVELS, seed=seed)
    else:
        found = sobol_indices.analyze(problem, figures, calc_second_order=False, seed=seed)
    return {name: _plain(found[name]) for name in names}


def _plain(column: npt.ArrayLike) -> Floats:
    return np.asarray(np.ma.filled(np.ma.asarray(column, dtype=np.float64), 0.0))


def _problem(assumptions: Mapping[str, Assumption]) -> dict[str, Any]:
    return {
        "num_vars": len(assumptions),
        "names": list(assumptions),
        "bounds": [[a.low, a.high] for a in assumptions.values()],
    }
