"""The package's weights are version 1 and champion of a fresh store, and never take a trained one's place."""

import pytest

from models.inference.checkpoint import PRETRAINED, WEIGHTS
from pipelines.cli.terminal.console import begin_job
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import MODEL, SHIPPED_TAG, Registry, chosen_weights
from pipelines.runtime.registry.shipped import register_shipped
from pipelines.runtime.registry.weights import WEIGHTS_TAG
from pipelines.runtime.step.context import Context


@pytest.fixture
def registry(own_tracker):
    return Registry(own_tracker)


@pytest.fixture
def trained(own_tracker, registry, tiny_checkpoint):
    """Registers the tiny network as one that was trained here, or as what an older package shipped."""

    def make(**tags):
        with own_tracker.step("train") as run:
            return registry.register(run, tiny_checkpoint, tags)

    return make


def test_the_first_job_on_a_store_registers_them_as_version_1_and_champion(
    own_tracker, registry, small_settings, capsys
):
    from rich.console import Console

    context = Context(settings=small_settings, tracker=own_tracker, console=Console(stderr=True))
    begin_job(context)
    champion = registry.champion()
    assert (champion.number, champion.is_shipped) == ("1", True)
    assert champion.tags[WEIGHTS_TAG] == file_digest(PRETRAINED / WEIGHTS)
    assert "registered the weights of the package as overspill version 1, champion" in capsys.readouterr().err
    begin_job(context)
    assert len(own_tracker.client.search_model_versions(f"name = '{MODEL}'")) == 1
    assert chosen_weights(own_tracker, checkpoint=None, device="cpu").label.startswith("pretrained ")


def test_a_champion_that_was_trained_keeps_its_place(own_tracker, registry, trained):
    version = trained()
    registry.settle(version, lambda _: Verdict(incumbent="none", candidate_score=0.1, incumbent_score=1.0))
    assert register_shipped(own_tracker) is None
    assert registry.champion().number == version.number


def test_the_weights_of_an_older_package_make_way_and_are_not_used(own_tracker, registry, trained):
    old = trained(**{SHIPPED_TAG: "true"})
    registry.crown(old)
    assert chosen_weights(own_tracker, checkpoint=None, device="cpu").label.startswith("pretrained ")
    assert "overspill version 2, champion" in register_shipped(own_tracker)
    assert registry.champion().tags[WEIGHTS_TAG] == file_digest(PRETRAINED / WEIGHTS)


def test_a_trained_network_is_judged_against_them(own_tracker, registry, trained):
    register_shipped(own_tracker)
    judged = []

    def judge(champion):
        judged.append(champion.label)
        return Verdict(incumbent=champion.label, candidate_score=0.1, incumbent_score=1.0)

    registry.settle(trained(), judge)
    assert judged == ["overspill version 1"]
    assert registry.champion().number == "2"
    assert register_shipped(own_tracker) is None
