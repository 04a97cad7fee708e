"""Draw samples from every generator of the training mixture: python docs/draw_worlds.py (from the root).

Writes docs/worlds.svg; the seed is fixed, so the page changes only when a generator does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.worlds.chips import CHIP_WORLDS
from models.worlds.mixture import GENERATORS
from models.worlds.rng import RandomSource

SEED = 20261123
SAMPLES = 5
STEPS = 96
CHIP_STEPS = 48
CELL = (190, 74)
LABEL = 130
COLOURS = ("#1f4e79", "#c55a11", "#7f7f7f")


def polyline(series: npt.NDArray[np.float64], *, left: float, top: float, colour: str) -> str:
    """One series [T], already in [0, 1], as an SVG line in the cell whose corner is given."""
    across = left + np.linspace(6, CELL[0] - 6, len(series))
    down = top + 6 + (1 - series) * (CELL[1] - 12)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.1"/>'


def row(number: int, name: str) -> list[str]:
    """Label and samples of one generator; chip worlds show orders, capacity and backlog on one scale."""
    coupled = name in CHIP_WORLDS
    rng = RandomSource(SEED + number, torch.device("cpu"))
    values = GENERATORS[name](rng, SAMPLES, 3 if coupled else 1, CHIP_STEPS if coupled else STEPS).values
    top = number * CELL[1]
    parts = [f'<text x="6" y="{top + CELL[1] / 2:.0f}" font-size="13">{name.replace("_", " ")}</text>']
    for sample, item in enumerate(values.double().numpy()):
        left = LABEL + sample * CELL[0]
        parts.append(
            f'<rect x="{left}" y="{top + 2}" width="{CELL[0] - 4}" height="{CELL[1] - 4}" fill="#f7f7f7"/>'
        )
        unit = (item - item.min()) / max(float(np.ptp(item)), 1e-12)
        parts += [
            polyline(series, left=left, top=top, colour=colour)
            for series, colour in zip(unit, COLOURS, strict=False)
        ]
    return parts


def main() -> None:
    """Write the page."""
    width, height = LABEL + SAMPLES * CELL[0], len(GENERATORS) * CELL[1]
    body = [part for number, name in enumerate(GENERATORS) for part in row(number, name)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    text = "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>\n"])
    path = Path(__file__).with_name("worlds.svg")
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
