"""Versions and the champion's alias: nobody overwrites a champion that they were not judged against."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forecasting.errors import InputError
from models.inference.checkpoint import CARD, WEIGHTS
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import MODEL, Registry, chosen_weights
from pipelines.runtime.store.address import PROMOTION, one_at_a_time
from pipelines.runtime.tracking import Store


@pytest.fixture
def registry(own_tracker):
    return Registry(own_tracker)


@pytest.fixture
def register(own_tracker, registry, tiny_checkpoint):
    """Register a new version of the tiny network, with the score that it is to have."""

    def make(score, folder=tiny_checkpoint):
        with own_tracker.step("train") as run:
            return registry.register(run, folder, {"score": str(score)})

    return make


def score_of(version):
    return 1.0 if version is None else float(version.tags["score"])


def judged(candidate):
    def judge(champion):
        label = "shipped" if champion is None else champion.label
        return Verdict(
            incumbent=label, candidate_score=score_of(candidate), incumbent_score=score_of(champion)
        )

    return judge


def holder(own_tracker, alias):
    return own_tracker.client.get_model_version_by_alias(MODEL, alias).version


def test_a_store_without_a_model_has_no_champion(registry):
    assert registry.champion() is None


def test_a_version_that_is_no_better_than_the_shipped_weights_is_a_challenger(
    own_tracker, registry, register
):
    version = register(1.2)
    registry.settle(version, judged(version))
    assert registry.champion() is None
    assert str(holder(own_tracker, "challenger")) == version.number


def test_the_alias_moves_to_a_better_version_alone(own_tracker, registry, register):
    for score, champion in ((0.8, "1"), (0.9, "1"), (0.7, "3"), (0.7, "3")):
        version = register(score)
        registry.settle(version, judged(version))
        assert registry.champion().number == champion
    decided = [
        own_tracker.client.get_model_version(MODEL, str(k)).tags["overspill.decision"] for k in (1, 2, 3, 4)
    ]
    assert decided == ["champion", "challenger", "champion", "challenger"]
    tags = own_tracker.client.get_model_version(MODEL, "3").tags
    assert tags["overspill.incumbent"] == "overspill version 1"
    assert (tags["overspill.score"], tags["overspill.incumbent_score"]) == ("0.7", "0.8")


@pytest.mark.parametrize(("mine", "champion"), [(0.6, "1"), (0.4, "2")], ids=["worse", "better"])
def test_a_champion_promoted_while_the_candidate_was_judged_is_judged_against_too(
    registry, register, mine, champion
):
    other, candidate = register(0.5), register(mine)
    asked = []

    def judge(present):
        asked.append(None if present is None else present.number)
        if len(asked) == 1:  # another process gets there first
            registry.settle(other, judged(other))
        return judged(candidate)(present)

    verdict = registry.settle(candidate, judge)
    assert asked == [None, "1"]
    assert verdict.incumbent == "overspill version 1"
    assert registry.champion().number == champion


SETTLE = """
import sys
from pathlib import Path
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import Registry, Version
from pipelines.runtime.tracking import Store

uri, judged = sys.argv[1:]

def judge(champion):
    Path(judged).touch()
    return Verdict(incumbent="x", candidate_score=0.6, incumbent_score=1.0 if champion is None else 0.5)

Registry(Store(uri)).settle(Version(number="2", run_id="", tags={}), judge)
"""


@pytest.mark.slow
def test_a_process_waits_for_another_that_promotes_and_looks_again(own_tracker, registry, register, tmp_path):
    for score in (0.5, 0.6):
        register(score)
    judged_file = tmp_path / "judged"
    with one_at_a_time(own_tracker.uri, PROMOTION):
        other = subprocess.Popen([sys.executable, "-c", SETTLE, own_tracker.uri, str(judged_file)])
        deadline = time.monotonic() + 120
        while not judged_file.exists():
            assert time.monotonic() < deadline
            assert other.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        assert other.poll() is None
        assert registry.champion() is None
        own_tracker.client.set_registered_model_alias(MODEL, "champion", "1")
    assert other.wait(timeout=60) == 0
    assert registry.champion().number == "1"
    assert str(holder(own_tracker, "challenger")) == "2"


def test_the_champions_weights_are_used_and_named(own_tracker, registry, register, tiny_network):
    version = register(0.5)
    registry.settle(version, judged(version))
    weights = chosen_weights(Store(own_tracker.uri), checkpoint=None, device="cpu")
    assert weights.label == "overspill version 1"
    assert weights.network.network.settings == tiny_network.settings
    assert weights.tags()["overspill.weights_sha256"] == version.tags["overspill.weights_sha256"]


def test_a_folder_comes_before_the_champion_and_the_packages_weights_after_it(
    own_tracker, registry, register, tiny_checkpoint
):
    assert chosen_weights(own_tracker, checkpoint=None, device="cpu").label.startswith("pretrained ")
    assert chosen_weights(None, checkpoint=None, device="cpu").label.startswith("pretrained ")
    version = register(0.5)
    registry.settle(version, judged(version))
    chosen = chosen_weights(own_tracker, checkpoint=tiny_checkpoint, device="cpu")
    assert chosen.label == f"checkpoint {tiny_checkpoint}"


def artifact(own_tracker, version, name):
    root = own_tracker.client.get_run(version.run_id).info.artifact_uri.removeprefix("file://")
    return Path(root) / "model" / "artifacts" / "checkpoint" / name


def test_weights_that_were_altered_after_they_were_registered_are_refused(own_tracker, registry, register):
    version = register(0.5)
    path = artifact(own_tracker, version, WEIGHTS)
    with path.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(
        InputError, match="overspill version 1 cannot be used .*not those that were registered"
    ):
        registry.weights(version, "cpu")


def test_a_version_of_another_architecture_is_refused_with_what_to_do(
    registry, register, tiny_checkpoint, tmp_path
):
    folder = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, folder)
    card = (folder / CARD).read_text().replace("overspill-patch-transformer", "somebody-elses")
    (folder / CARD).write_text(card)
    version = register(0.5, folder)
    with pytest.raises(InputError, match="another architecture.*: train another, or give --checkpoint") as no:
        registry.weights(version, "cpu")
    assert "\n" not in str(no.value)


def test_a_version_has_a_description_that_names_its_run_and_what_it_was_trained_on(
    own_tracker, registry, tiny_checkpoint
):
    trained = {"overspill.start": "pretrained abc", "overspill.trained_until": "2026-08-27"}
    with own_tracker.step("train") as run:
        versions = [registry.register(run, tiny_checkpoint, tags) for tags in ({}, trained)]
    descriptions = [own_tracker.client.get_model_version(MODEL, each.number).description for each in versions]
    assert all(f"recorded by the train run {run.run_id[:8]}" in each for each in descriptions)
    assert "trained from pretrained abc on what had been published by 2026-08-27" in descriptions[1]
