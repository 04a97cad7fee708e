"""The weights of the package as a version of the registered model, so that a fresh store can serve them."""

from __future__ import annotations

from forecasting.errors import StepError
from models.inference.checkpoint import PRETRAINED, WEIGHTS
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.registry import SHIPPED_TAG, Registry, Version
from pipelines.runtime.registry.weights import ORIGIN_TAG, WEIGHTS_TAG, shipped_weights
from pipelines.runtime.store.address import PROMOTION, one_at_a_time
from pipelines.runtime.tracking import Tracker

STEP = "weights"


def register_shipped(tracker: Tracker) -> str | None:
    """Register the package's weights as champion where the store has none, or has those of another package.

    A champion that was trained keeps its place. A store that is away is left alone.

    Returns
    -------
    str or None
        A sentence, if they were registered or could not be.
    """
    if tracker.is_unreachable:
        return None
    registry = Registry(tracker)
    try:
        if _is_settled(registry.champion()):
            return None
        with one_at_a_time(tracker.uri, PROMOTION):
            if _is_settled(registry.champion()):  # another process was quicker
                return None
            label = shipped_weights("cpu").label
            with tracker.step(STEP) as run:
                run.describe(f"The weights of the package ({label}), registered so that they can be served.")
                made = registry.register(run, PRETRAINED, {SHIPPED_TAG: "true", ORIGIN_TAG: label})
            registry.crown(made)
    except StepError as error:
        return f"the weights of the package could not be registered: {error}"
    return f"registered the weights of the package as {made.label}, champion"


def _is_settled(champion: Version | None) -> bool:
    if champion is None:
        return False
    return not champion.is_shipped or champion.tags.get(WEIGHTS_TAG) == file_digest(PRETRAINED / WEIGHTS)
