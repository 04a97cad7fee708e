"""The tones are those of cividis, keep their order in grey, and lines stand out from white."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import pytest

from pipelines.figures.theme import (
    LIGHTEST_LINE,
    STACKED,
    Meaning,
    Tone,
    format_figure,
    join_names,
    luminance,
    wrap_names,
)


def contrast(first, second):
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_tones_are_taken_from_cividis():
    scale = mpl.colormaps["cividis"]
    assert [str(tone) for tone in Tone] == [
        mpl.colors.to_hex(scale(at)) for at in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]


def test_tones_stay_apart_in_grey():
    for darker, lighter in itertools.pairwise(Tone):
        assert contrast(darker, lighter) > 1.4


def test_reasons_that_are_stacked_on_each_other_stay_apart_in_grey():
    for darker, lighter in itertools.pairwise(STACKED):
        assert contrast(darker, lighter) > 1.4


def test_no_two_meanings_share_a_colour_and_lines_stand_out_from_white():
    assert len({str(each) for each in Meaning}) == len(Meaning)
    for line in (Meaning.OWN, Meaning.VENDOR, Meaning.MEDIAN, Meaning.NORMAL):
        assert contrast(line, "#ffffff") > 3


def test_lines_stand_out_from_white():
    assert contrast(LIGHTEST_LINE, "#ffffff") > 2
    assert contrast(Tone.INK, "#ffffff") > 7


def test_luminance_of_black_and_white_are_the_ends_of_the_scale():
    assert luminance("#000000") == 0
    assert luminance("#ffffff") == pytest.approx(1)


@pytest.mark.parametrize(
    ("figure", "kind", "text"),
    [
        (0.7, "share", "70 %"),
        (1_200_000, "units", "1.2M"),
        (-3400, "units", "-3.4k"),
        (0.35, "number", "0.35"),
    ],
)
def test_figures_are_written_with_their_unit(figure, kind, text):
    assert format_figure(figure, kind) == text


def test_few_names_are_broken_and_many_are_not():
    assert wrap_names(["US demand not met"], to="/") == ["US demand/not met"]
    assert wrap_names(["SeasonalNaive"], to="/") == ["SeasonalNaive"]
    assert wrap_names(["US demand not met"] * 9, to="/")[0] == "US demand not met"


def test_names_are_joined_as_in_a_sentence():
    assert join_names(["H200"]) == "H200"
    assert join_names(["H100", "H200", "MI325X"]) == "H100, H200 and MI325X"
