"""Random numbers from explicit generators, one for each purpose and item, all derived from one base seed.

An item's numbers depend on its own name alone: adding, dropping or reordering items changes nothing.
"""

from __future__ import annotations

import hashlib

import numpy as np


def item_generator(seed: int, *, purpose: str, item_id: str) -> np.random.Generator:
    """Return the generator of one item for one purpose.

    Parameters
    ----------
    seed : int
        Base seed, not negative.
    purpose : str
        What the numbers are for ("measurement"); different purposes give independent streams.
    item_id : str

    >>> draw = item_generator(1, purpose="paths", item_id="H200").normal()
    >>> draw == item_generator(1, purpose="paths", item_id="H200").normal()
    True
    """
    digest = hashlib.blake2b(f"{purpose}\x00{item_id}".encode(), digest_size=16).digest()
    words = [int(word) for word in np.frombuffer(digest, dtype="<u4")]
    return np.random.default_rng(np.random.SeedSequence([seed, *words]))
