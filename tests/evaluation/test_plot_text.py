"""Text of any table is drawn as one short line, with the characters that the fonts have."""

import warnings

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from tabular.evaluation import plot_style, plot_text, plots


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größe ²", "größe ²"),
        ("mean [0] <cm>", "mean [0] <cm>"),
        ("$\\frac{$", "\\$\\frac{\\$"),
        ("a\nb\x1b", "a b\\x1b"),
        ("x" * 50, "x" * 24 + "..." + "x" * 14),
    ],
)
def test_text_becomes_one_short_line_without_formulas(text, expected):
    assert plot_text.shown(text) == expected


def test_characters_that_no_font_has_are_written_as_in_python():
    """Otherwise two of them would be the same boxes."""
    assert plot_text.shown("a\ue0f0") == "a\\ue0f0"


def test_names_that_differ_at_the_end_only_are_told_apart():
    long = "a_name_that_a_warehouse_made_of_those_of_its_joined_tables_"
    assert plot_text.shown(f"{long}1") != plot_text.shown(f"{long}2")


def test_wide_letters_take_more_room():
    assert plot_text.inches(["iii", "WWW"]) == 3 * plot_text.inches(["W"])
    assert len(plot_text.shown("W" * 50)) < len(plot_text.shown("i" * 60))


@pytest.mark.parametrize("text", ["a b c " * 20, "x" * 100, "a " + "\\$" * 50, "W"])
def test_lines_are_no_wider_than_their_room_and_lose_nothing(text):
    lines = plot_text.wrapped(text, 1.0)
    assert plot_text.inches(lines) <= 1.0
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


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
    grey = matplotlib.colors.to_rgba(plot_style.GREY)
    assert [tuple(color) == grey for color in dots.get_facecolor()] == [False, False, True, True]


def test_a_file_of_any_name_can_stand_in_a_title():
    y = np.array([0, 1])
    figure = plots.roc(y, np.array([0.2, 0.8]), plot_text.shown("$a$ \\frac{.csv"))
    assert plot_style.png(figure)[1:4] == b"PNG"
