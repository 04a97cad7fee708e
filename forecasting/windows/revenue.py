"""Revenue at stake in USD: fading prices, successors, duty on the import value. P paths, H steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from forecasting.errors import InputError
from forecasting.panel.history import Floats
from forecasting.reference.chips import Chip


def successors_launched(
    chip: Chip, timestamps: Sequence[dt.date], chips: Mapping[str, Chip]
) -> npt.NDArray[np.int64]:
    """Count the generations after a chip, along its vendor's line of successors, launched by each period end.

    Parameters
    ----------
    chip : Chip
    timestamps : sequence of H period ends
    chips : mapping of chip_id to Chip
        The catalogue in which successors are looked up.

    Returns
    -------
    int64 array [H]

    Raises
    ------
    InputError
        If a successor is not in the catalogue, or the line runs in a circle.
    """
    line: list[Chip] = []
    seen = {chip.chip_id}
    successor_id = chip.successor_chip_id
    while successor_id is not None:
        if successor_id not in chips or successor_id in seen:
            raise InputError(
                "the line of successors must lead through the catalogue without a circle",
                expected="a chip not met before",
                found=successor_id,
                where=f"chip {(line or [chip])[-1].chip_id}, successor_chip_id",
            )
        seen.add(successor_id)
        line.append(chips[successor_id])
        successor_id = line[-1].successor_chip_id
    return np.array(
        [sum(chip.launch_quarter_end <= end for chip in line) for end in timestamps], dtype=np.int64
    )


def price_per_unit(
    launch_price: Floats | float,
    *,
    age_periods: Floats,
    half_life_periods: Floats | float,
    successors: npt.NDArray[np.int64],
    successor_price_factor: Floats | float,
) -> Floats:
    """Price of a chip that declines with age and drops with every generation that replaces it.

        price = launch price x 0.5 ** (age / half-life) x factor ** successors launched

    Both are assumptions to be varied: public prices are too few and too inconsistent to fit them. Before
    launch (negative age) the launch price holds. Assumptions are numbers, or columns [P, 1] of one for each
    path.

    Parameters
    ----------
    launch_price : float or array
        USD per unit at launch.
    age_periods : array [H]
        Periods since launch.
    half_life_periods : float or array
        Periods in which the price halves; infinite for a constant price.
    successors : int array [H]
        Successor generations launched by then, see `successors_launched`.
    successor_price_factor : float or array
        Share of the price that remains after each of them, in (0, 1].

    Returns
    -------
    array [H] or [P, H]
        USD per unit.

    Examples
    --------
    >>> price_per_unit(
    ...     30000.0,
    ...     age_periods=np.array([0.0, 8.0]),
    ...     half_life_periods=8.0,
    ...     successors=np.array([0, 1]),
    ...     successor_price_factor=0.8,
    ... ).tolist()
    [30000.0, 12000.0]
    """
    for name, value, expected, met in (
        ("launch_price", launch_price, "> 0 USD", np.greater(launch_price, 0) & np.isfinite(launch_price)),
        ("half_life_periods", half_life_periods, "> 0 periods", np.greater(half_life_periods, 0)),
        (
            "successor_price_factor",
            successor_price_factor,
            "0 to 1",
            np.greater(successor_price_factor, 0) & np.less_equal(successor_price_factor, 1),
        ),
    ):
        if not np.all(met):
            first = np.ravel(value)[~np.ravel(met)][0]
            raise InputError(f"{name} is out of range", expected=expected, found=f"{first:g}", where=name)
    fading = np.exp2(-np.maximum(age_periods, 0.0) / half_life_periods)
    return np.asarray(launch_price * fading * successor_price_factor**successors)


def revenue_at_stake(
    units: Floats, price: Floats, *, duty_rate: float, import_value_share: Floats | float = 1.0
) -> Floats:
    """Revenue over the horizon on each path, net of a duty on the import value.

        sum of units x price x (1 - duty x import value / price)

    The duty falls due when the chips enter the country for their test, on the value declared there, which
    need not be the price at which they are exported.

    Parameters
    ----------
    units : array [P, H]
        Units exported per step.
    price : array [H] or [P, H]
        USD per unit.
    duty_rate : float
        Share of the import value, 0 to 1; assumed to be borne by the seller in full.
    import_value_share : float or array [P]
        Import value as a share of the export price, above 0.

    Returns
    -------
    array [P]
        USD.
    """
    share = np.asarray(import_value_share, dtype=np.float64)
    for name, value, expected, met in (
        ("duty_rate", np.asarray(duty_rate), "0 to 1", 0 <= duty_rate <= 1),
        ("import_value_share", share, "> 0", bool(np.all((share > 0) & np.isfinite(share)))),
    ):
        if not met:
            raise InputError(
                "a duty is a share of the import value",
                expected=expected,
                found=f"{value.min():g}",
                where=name,
            )
    return np.asarray((units * price).sum(axis=1) * (1.0 - duty_rate * share))
