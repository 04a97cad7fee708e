"""Countries by name: usual spellings are known, and what several countries share is not guessed."""

from __future__ import annotations

import pytest

from forecasting.order_book.countries import (
    COUNTRIES,
    UNITED_STATES,
    ambiguous_country,
    country_code,
    country_key,
)
from forecasting.order_book.country_names import AMBIGUOUS, NAMES

LINES = [line.split(" ", maxsplit=2) for line in NAMES.strip().splitlines()]


def test_every_country_has_a_line_and_no_name_belongs_to_two():
    assert [code for code, _, _ in LINES] == sorted(COUNTRIES)
    owner = {}
    for code, alpha3, names in LINES:
        for name in (code, alpha3, *names.split(";")):
            assert owner.setdefault(country_key(name), code) == code, name


def test_alpha_3_codes_are_three_letters_each_once():
    codes = [alpha3 for _, alpha3, _ in LINES]
    assert len(set(codes)) == len(COUNTRIES)
    assert all(len(code) == 3 and code.isupper() for code in codes)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("USA", "US"),
        ("U.S.", "US"),
        ("u.s.a.", "US"),
        ("United States of America", "US"),
        ("THE UNITED STATES", "US"),
        ("UK", "GB"),
        ("Great Britain", "GB"),
        ("Korea, Rep.", "KR"),
        ("Korea (Republic of)", "KR"),
        ("Viet Nam", "VN"),
        ("VIETNAM", "VN"),
        ("Côte d'Ivoire", "CI"),
        ("Cote d\u2019Ivoire", "CI"),
        ("Congo, DRC", "CD"),
        ("Türkiye", "TR"),
        ("St. Lucia", "LC"),
        ("Trinidad & Tobago", "TT"),
        ("Macau", "MO"),
        ("P.R. of China", "CN"),
        ("Hong Kong SAR", "HK"),
        ("Taiwan (ROC)", "TW"),
        ("deu", "DE"),
        ("Puerto Rico", "PR"),
        ("NA", "NA"),
        ("ST", "ST"),
    ],
)
def test_usual_spellings_are_known(name, code):
    assert country_code(name) == code
    assert (code in UNITED_STATES) == (code in {"US", "PR"})


@pytest.mark.parametrize("name", [*AMBIGUOUS, "korea", "Atlantis", "", "EU", "North America"])
def test_names_of_several_countries_or_of_none_have_no_code(name):
    assert country_code(name) is None
    assert (ambiguous_country(name) is not None) == (name.title() in AMBIGUOUS or name in AMBIGUOUS)


@pytest.mark.parametrize(
    "name",
    [
        "na",
        "Na",
        "n a",
        "N.A",
        "N-A",
        "n/a",
        "#N/A",
        "I/O",
        "m/s",
        "C/O",
        "T/N",
        "IT?",
        "US1",
        "1 US 2",
        "Germany 2",
    ],
)
def test_what_is_not_written_as_a_code_or_name_is_no_country(name):
    assert country_code(name) is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (" NA ", "NA"),
        ("NAM", "NA"),
        ("Namibia", "NA"),
        ("u.s.", "US"),
        ("U S A", "US"),
        ("The UK", "GB"),
        ("it", "IT"),
    ],
)
def test_codes_may_have_points_blanks_and_an_article(name, code):
    assert country_code(name) == code
