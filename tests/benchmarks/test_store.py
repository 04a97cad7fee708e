"""Kept forecasts."""

import numpy as np
from store import digest, recalled


def test_what_is_kept_is_what_was_made(tmp_path):
    made = {"paths": np.random.default_rng(1).normal(size=(3, 4, 5)), "seconds": np.arange(3.0)}
    first = recalled(tmp_path / "new", "peer", lambda: made)
    again = recalled(tmp_path / "new", "peer", lambda: made["nothing is made twice"])
    for name, array in made.items():
        np.testing.assert_array_equal(again[name], first[name])
        np.testing.assert_allclose(first[name], array, rtol=1e-6)


def test_nothing_is_kept_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    calls = []
    for _ in range(2):
        recalled(None, "peer", lambda: calls.append(1) or {"x": np.zeros(2)})
    assert len(calls) == 2
    assert not list(tmp_path.iterdir())


def test_a_failed_peer_leaves_nothing_behind(tmp_path):
    def fail():
        raise RuntimeError("no forecast")

    try:
        recalled(tmp_path, "peer", fail)
    except RuntimeError:
        assert not list(tmp_path.iterdir())
    else:
        raise AssertionError("the failure was swallowed")


def test_a_digest_tells_apart_what_differs_in_a_single_number():
    one = np.arange(5.0)
    other = one.copy()
    other[3] = np.nextafter(3.0, 4.0)
    assert digest("a", one) == digest("a", one.copy())
    assert len({digest("a", one), digest("a", other), digest("b", one), digest("a", one, 1)}) == 4
