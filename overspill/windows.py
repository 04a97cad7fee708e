"""Export windows: on each path when exports are open, how many units may go, and what limits them.

Examples
--------
One path of three quarters after the origin: demand is met from the second one on, and half of what US
customers have received since launch may be exported.

>>> import numpy as np
>>> from overspill import windows
>>> from overspill.policies import Cap
>>> inputs = windows.WindowInputs(
...     surplus=np.array([[0.0, 40.0, 40.0]]),
...     us_shipments=np.array([[60.0, 30.0, 10.0]]),
...     saturated_confirmed=np.array([[False, True, True]]),
...     eligible=True,
...     in_effect=np.array([True, True, True]),
...     first_step=0,
... )
>>> cap = Cap(ratio=0.5, period="since_launch", counts="product")
>>> paths = windows.export_windows(inputs, cap, periods_per_year=4)
>>> paths.units
array([[ 0., 40., 10.]])
>>> [windows.Binding(code).name for code in paths.binding[0]]
['NOT_SATURATED', 'SURPLUS', 'CAP']
>>> windows.summarise(paths, confidence=0.5, quantile_levels=[0.5]).windows
((1, 3),)
"""

from forecasting.windows.estimate import (
    ExportEstimate,
    ExportTerms,
    MarketsOfChip,
    cap_units,
    estimate_windows,
)
from forecasting.windows.windows import (
    Binding,
    WindowInputs,
    WindowPaths,
    WindowSummary,
    export_windows,
    first_window,
    summarise,
)

__all__ = [
    "Binding",
    "ExportEstimate",
    "ExportTerms",
    "MarketsOfChip",
    "WindowInputs",
    "WindowPaths",
    "WindowSummary",
    "cap_units",
    "estimate_windows",
    "export_windows",
    "first_window",
    "summarise",
]
