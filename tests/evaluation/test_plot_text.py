"""Text of any table is drawn as one short line, with the characters that the fonts have."""

import warnings

import numpy as np
import pandas as pd
import pytest

from tabular.evaluation import plot_text, plots


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größe ²", "größe ²"),
        ("mean [0] <cm>", "mean [0] <cm>"),
        ("$\\frac{$", "\\$\\frac{\\$"),
        ("a\nb\x1b", "a b\\x1b"),
        ("x" * 50, "x" * 37 + "..."),
    ],
)
def test_text_becomes_one_short_line_without_formulas(text, expected):
    assert plot_text.shown(text) == expected


def test_characters_that_no_font_has_are_written_as_in_python(monkeypatch):
    """Otherwise 年齢 and 性別 would be the same two boxes."""
    monkeypatch.setattr(plot_text, "_drawable", lambda: {*map(ord, "abc")})
    assert plot_text.shown("a年") == "a\\u5e74"


def test_characters_of_east_asia_are_twice_as_wide():
    assert plot_text.width("ab") == 2
    assert plot_text.width("年齢b") == 5


def test_only_installed_fonts_are_used():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plot_text.fonts()[0] == "DejaVu Sans"
        assert {*plot_text.fonts()} <= {*plot_text.font_manager.get_font_names()}


def test_rows_with_a_missing_number_are_drawn_in_the_plot_of_shap_values():
    """Without a rank, matplotlib would leave their dots out."""
    X = pd.DataFrame({"a": np.array([1, 2, np.nan, np.nan], np.float32)})
    values = np.array([[-1, 0], [1, 0], [9, 0], [9, 0]], np.float32)
    table = pd.DataFrame({"feature": ["a"], "mean_abs_shap": [5.0]})
    figure = plots.shap(X, values, table, "yes", "rows.csv")
    dots = figure.axes[0].collections[0]
    dots.update_scalarmappable()
    grey = plots.matplotlib.colors.to_rgba(plots.GREY)
    assert [tuple(color) == grey for color in dots.get_facecolor()] == [False, False, True, True]


def test_a_file_of_any_name_can_stand_in_a_title():
    y = np.array([0, 1])
    figure = plots.roc(y, np.array([0.2, 0.8]), plot_text.shown("$a$ \\frac{.csv"))
    assert plots.png(figure)[1:4] == b"PNG"
