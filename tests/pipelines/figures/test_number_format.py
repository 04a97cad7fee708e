"""Numbers as text: shares in percent, in the form that each place needs."""

from __future__ import annotations

import pytest

from pipelines.figures.number_format import percent, share_of_paths, units_text


@pytest.mark.parametrize(
    ("share", "text"), [(0.025, "2.5 %"), (0.5, "50 %"), (0.3333, "33.33 %"), (1.0, "100 %")]
)
def test_a_share_has_all_its_digits_where_none_are_asked_for(share, text):
    assert percent(share, digits=None) == text


@pytest.mark.parametrize("share", [0.0, 0.005, 0.125, 0.285, 0.995, 1.0])
@pytest.mark.parametrize("digits", [0, 1, 2])
def test_a_share_is_rounded_as_python_rounds_it(share, digits):
    assert percent(share, digits=digits, spaced=False) == f"{share:.{digits}%}"
    assert percent(share, digits=digits) == f"{share:.{digits}%}".replace("%", " %")


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "<1 %"), (0.0099, "<1 %"), (0.01, "1 %"), (0.99, "99 %"), (0.991, ">99 %")]
)
def test_no_number_of_paths_supports_a_flat_0_or_100_percent(share, text):
    assert share_of_paths(share) == text
    assert share_of_paths(share, spaced=True).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("units", "text"),
    [(0.4, "0"), (7, "7"), (1500, "1.5k"), (480_000, "480k"), (1.2e6, "1.2M"), (12e6, "12M")],
)
def test_units_are_shown_with_two_figures(units, text):
    assert units_text(units) == text
