"""Text of YAML: keys are text, sizes are bounded, and `--set` takes text as it stands."""

from __future__ import annotations

import time

import pytest

from forecasting.errors import InputError
from pipelines.runtime.config.loader import resolve
from pipelines.runtime.config.yaml_text import _greatest_depth, read


@pytest.fixture
def refused(tmp_path):
    """A function that reads a text of YAML and gives the sentence with which it is refused."""

    def sentence(text):
        path = tmp_path / "a.yaml"
        path.write_text(text)
        with pytest.raises(InputError) as error:
            read(path)
        assert "\n" not in str(error.value)
        return str(error.value)

    return sentence


@pytest.mark.parametrize(
    ("key", "read_as"),
    [("0123", "83"), ("NO", "False"), ("1.5", "1.5"), ("~", "None"), ("2026-01-01", "datetime")],
)
def test_key_that_is_no_text_is_refused_with_its_line_and_how_to_quote_it(refused, key, read_as):
    message = refused(f"skus:\n  A: H200\n  {key}: H100\n")
    assert "a.yaml, line 3: a key is text: put it in quotes" in message
    assert f'expected "{key}", found {key} without quotes, which YAML reads as {read_as}' in message


def test_quoted_keys_are_text(tmp_path):
    (tmp_path / "a.yaml").write_text("skus: {'0123': H200, \"NO\": H100}\n")
    assert read(tmp_path / "a.yaml") == {"skus": {"0123": "H200", "NO": "H100"}}


def test_key_given_twice_is_refused_with_its_line(refused):
    assert "a.yaml, line 3: a key may be given once: found 'a' twice" in refused("a: 1\nb: 2\na: 3\n")


def test_key_that_is_a_list_is_refused(refused):
    assert "a key is text" in refused("? [a]\n: 1\n")


def test_anchors_that_expand_beyond_measure_are_refused_at_once(refused):
    levels = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    levels += [f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]" for n in range(20)]
    begun = time.monotonic()
    assert "the anchors of a file expand to more than settings hold" in refused("\n".join(levels))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a [*a]\n", "one that holds itself"),
        ("a: " + "[" * 5000 + "\n", "nests too deeply"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("# " + "x" * 5_000_000, "too large for settings"),
        ("- 1\n", "must hold keys and values: found list"),
    ],
)
def test_text_that_is_no_settings_file_is_refused(refused, text, says):
    assert says in refused(text)


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ("data.path=orders #1.csv", "orders #1.csv"),
        ("data.path=#1/a.csv", "#1/a.csv"),
        ("data.path=2024", "2024"),
        ("data.path=0123", "0123"),
        ("data.path=1e5", "1e5"),
        ("data.path=2024-01-01", "2024-01-01"),
        ("data.path=true", "true"),
        ("data.path='2024'", "2024"),
        ("data.path=null", None),
        ("data.path=[a.csv, b.csv]", ("a.csv", "b.csv")),
    ],
)
def test_set_takes_a_path_as_it_stands(override, path):
    assert resolve("order_book", [override]).data.path == path


def test_set_takes_text_where_text_is_declared_and_numbers_where_numbers_are():
    settings = resolve(
        "order_book", ["data.skus.A=H200", "data.columns.quantity=12", "seed=7", "data.as_of=2026-01-01"]
    )
    assert settings.data.columns["quantity"] == "12"
    assert settings.seed == 7
    assert str(settings.data.as_of) == "2026-01-01"


def test_set_with_a_key_that_is_no_text_says_to_quote_it():
    with pytest.raises(
        InputError, match=r"--set data\.skus, line 1: a key is text: put it in quotes.*\"0123\""
    ):
        resolve("order_book", ["data.skus={0123: H200}"])


def test_value_that_must_be_text_says_to_quote_it():
    with pytest.raises(InputError, match=r"expected text: put it in quotes, found False"):
        resolve("order_book", ["data.skus={A: NO}"])


def test_bare_number_in_a_file_is_exact(tmp_path):
    (tmp_path / "mine.yaml").write_text("capacity_decay: 0.7\nexports: {H200: {licence_limit: 1000}}\n")
    data = resolve("order_book", [f"data.mapping={tmp_path / 'mine.yaml'}"]).data
    assert (data.capacity_decay.value, data.capacity_decay.low, data.capacity_decay.high) == (0.7, 0.7, 0.7)
    assert data.exports["H200"].licence_limit.value == 1000


def test_null_tokens_may_be_bare_nulls():
    assert resolve("order_book", ["data.null_tokens=[NULL, n/a]"]).data.null_tokens == ("NULL", "n/a")


@pytest.mark.parametrize("level", ["[", "{a: ", "- ", "? "])
def test_no_text_nests_deeper_than_it_is_taken_for(level):
    depth = 40
    text = level * depth
    assert depth <= _greatest_depth(text)


def test_a_mapping_below_a_list_below_a_mapping_needs_two_columns():
    text = "a:\n- b:\n  - c:\n    - d: 1\n"  # seven levels, and the longest line has ten letters
    assert _greatest_depth(text) >= 7


def test_deep_list_without_brackets_is_refused(refused):
    assert "nests too deeply" in refused("a:\n  " + "- " * 600 + "\n")
