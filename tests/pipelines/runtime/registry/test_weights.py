"""Where weights come from, and what is wrong with them, in one sentence."""

from __future__ import annotations

import datetime as dt
import shutil

import pytest
import torch

from forecasting.errors import InputError
from models.inference.checkpoint import CARD, WEIGHTS, read_card, save_checkpoint
from pipelines.backtest.step import known_by
from pipelines.forecast.forecasters import backtest_forecasters, named_forecaster
from pipelines.runtime.files.artifacts import file_digest
from pipelines.runtime.registry.weights import TRAINED_UNTIL, folder_weights, require_device, shipped_weights


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "net")


@pytest.fixture
def trained(tiny_network, tmp_path):
    """Weights whose training knew what had been published by 2025-04-02."""
    save_checkpoint(tmp_path / "trained", tiny_network, {TRAINED_UNTIL: "2025-04-02"})
    return folder_weights(tmp_path / "trained", device="cpu")


def test_the_packages_weights_are_named_by_their_commit():
    weights = shipped_weights("cpu")
    assert weights.label == f"pretrained {weights.network.card['commit'][:12]}"
    assert weights.trained_until is None


def test_a_folders_weights_are_named_by_it_and_digested(folder):
    weights = folder_weights(folder, device="cpu")
    assert weights.tags() == {
        "overspill.weights": f"checkpoint {folder}",
        "overspill.weights_sha256": file_digest(folder / WEIGHTS),
    }


def test_a_truncated_checkpoint_is_refused(folder):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated") as no:
        folder_weights(folder, device="cpu")
    assert no.value.exit_code == 2
    assert "\n" not in str(no.value)


def test_a_checkpoint_of_another_architecture_is_refused(folder):
    (folder / CARD).write_text(
        (folder / CARD).read_text().replace(read_card(folder)["architecture"], "other")
    )
    with pytest.raises(InputError, match="another architecture: expected .*, found other"):
        folder_weights(folder, device="cpu")


def test_a_gpu_that_is_not_there_is_bad_input(monkeypatch, folder):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device gpu was requested but torch .* sees no GPU"):
        require_device("gpu")
    with pytest.raises(InputError, match="sees no GPU"):
        folder_weights(folder, device="gpu")


def test_weights_answer_only_on_days_that_their_training_had_not_seen(trained, small_settings):
    assert known_by(dt.date(2025, 4, 2), trained, small_settings) is trained
    assert known_by(dt.date(2025, 4, 1), trained, small_settings).label.startswith("pretrained")


@pytest.mark.parametrize("name", ["auto", "ensemble"])
def test_weights_that_saw_real_series_are_not_scored_on_them_in_a_combination(trained, small_settings, name):
    member = named_forecaster(name, small_settings.statistical, trained).members[0]
    shipped = shipped_weights("cpu")
    assert member.forecaster.network is trained.network
    assert member.rehearsing.network.card["commit"] == shipped.network.card["commit"]
    member = named_forecaster(name, small_settings.statistical, shipped).members[0]
    assert member.rehearsing.network is shipped.network


def test_all_members_are_scored_beside_the_combination(small_settings):
    names = [forecaster.name for forecaster in backtest_forecasters(small_settings)]
    classics = ["SeasonalNaive", "AutoETS", "AutoTheta", "statistical"]
    assert names == [*classics, "network", "bank", "auto"]
