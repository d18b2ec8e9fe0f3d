"""The plot of drift: it has all columns, or the most important ones, and fits its figure."""

import io

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from tabular.evaluation import drift_plots, plot_style, plots


def make_table(names):
    n = len(names)
    return pd.DataFrame(
        {
            "column": names,
            "psi": np.linspace(0.4, 0, n),
            "drift": np.resize(["large", "moderate", "slight", "none"], n),
            "cell": "a rather long category of $\\frac{$ 年",
            "cell_train": 0.1,
            "cell_scored": 0.25,
        }
    )


@pytest.mark.parametrize(
    "names", [["probability"], ["größe [m²]", "$x$", "<b>", "年", "probability"]], ids=len
)
def test_all_of_the_plot_is_within_its_figure(names):
    figure = drift_plots.drift_bars(make_table(names))
    image = matplotlib.image.imread(io.BytesIO(plot_style.png(figure)))
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    assert all((edge[..., :3] == 1).all() for edge in edges)
    assert len(np.unique(image.reshape(-1, 4), axis=0)) > 20


def test_of_many_columns_it_has_the_first_ones_and_the_predictions():
    names = [f"column {number}" for number in range(40)] + ["probability"]
    (axes,) = drift_plots.drift_bars(make_table(names)).axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [*names[: plots.MAX_FEATURES], "probability"]


def test_the_title_names_the_predictions_where_they_alone_have_drifted():
    table = make_table(["age", "sex", "probability"]).assign(drift=["none", "slight", "large"])
    title = drift_plots.drift_bars(table.assign(psi=[0.01, 0.02, 0.5])).get_suptitle()
    assert title.replace("\n", " ") == (
        "No column has drifted, but the predictions have (PSI 0.50)"
    )
