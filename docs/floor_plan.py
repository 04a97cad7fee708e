"""Print the floor plan of a package: its folders, their floors, and which imports which.

`python docs/floor_plan.py` (from the root) does so for every package. A room is a folder or a loose module
of the package, an arrow says that one room imports another, and a floor holds the rooms whose imports all lie
below it. Rooms that import each other in a ring share a floor and are listed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter

import grimp

PACKAGES = ("forecasting", "models", "pipelines", "pipelines.runtime")
Rooms = Mapping[str, set[str]]


def rooms_of(package: str) -> Rooms:
    """Each room of a package with the rooms that it imports."""
    graph = grimp.build_graph(package.partition(".")[0], include_external_packages=False, cache_dir=None)
    prefix = f"{package}."
    rooms: dict[str, set[str]] = {
        module.removeprefix(prefix): set() for module in graph.find_children(package)
    }
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if module.startswith(prefix) and imported.startswith(prefix):
                room, other = (name.removeprefix(prefix).partition(".")[0] for name in (module, imported))
                rooms[room] |= {other} - {room}
    return rooms


def reached(rooms: Rooms, start: str) -> set[str]:
    """All rooms that a room imports, directly or by way of others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for other in rooms[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


def floors_of(rooms: Rooms) -> tuple[list[list[str]], list[str]]:
    """Rooms by floor, the lowest first, and the rooms that import each other in a ring (on one floor)."""
    below = {room: reached(rooms, room) for room in rooms}
    ring = sorted(room for room in rooms if room in below[room])
    names = {room: min({room} | {o for o in below[room] if room in below[o]}) for room in rooms}
    joined: dict[str, set[str]] = {names[room]: set() for room in rooms}
    for room, imported in rooms.items():
        joined[names[room]] |= {names[other] for other in imported} - {names[room]}
    level: dict[str, int] = {}
    for name in TopologicalSorter(joined).static_order():
        level[name] = 1 + max((level[other] for other in joined[name]), default=0)
    floors = [
        sorted(room for room in rooms if level[names[room]] == n) for n in range(1, max(level.values()) + 1)
    ]
    return floors, ring


def main(packages: Iterable[str]) -> None:
    """Print the plan of each package, the top floor first."""
    for package in packages:
        rooms = rooms_of(package)
        floors, ring = floors_of(rooms)
        arrows = sum(len(imported) for imported in rooms.values())
        print(f"{package}: {len(rooms)} rooms, {len(floors)} floors, {arrows} arrows, ring: {ring or 'none'}")
        for floor in reversed(floors):
            print(f"    {' | '.join(floor)}")


if __name__ == "__main__":
    main(sys.argv[1:] or PACKAGES)
