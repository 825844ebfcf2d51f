"""What leaving bins out says of a few planets, from the weighted draws that a posterior keeps."""

from __future__ import annotations

import numpy as np

from arielflow.data.shown_planets import shown_planets
from arielflow.evaluation.leave_one_out import LARGEST_SHAPE, leave_bins_out
from arielflow.report.blocks import TableBlock
from arielflow.report.content import ReportContent
from arielflow.report.formatting import number


def left_out_table(content: ReportContent, name: str) -> TableBlock | None:
    """Of planets of weak, typical and strong features: which bins the others do not predict.

    None where the row's posteriors keep no draws, or the test planets are not known.

    Parameters
    ----------
    content
        What the report shows.
    name
        Row whose posteriors were made by importance sampling.
    """
    posterior = content.posteriors[name]
    if "draw_weight" not in posterior or content.test is None:
        return None
    planets = shown_planets(content.test, content.truth)
    found = leave_bins_out(posterior, planets)
    wavelength_um = found["wavelength"].values
    rows = []
    for planet in planets:
        own = found.sel(planet=planet)
        if not np.isfinite(own["elpd"]).any():
            rows.append([planet, *[""] * 4])
            continue
        most = wavelength_um[int(np.nanargmax(own["p_loo"].values))]
        refit = wavelength_um[own["needs_refit"].values == 1]
        rows.append(
            [
                planet,
                number(float(own["elpd"].sum()), 1),
                number(float(own["p_loo"].sum()), 1),
                f"{most:.2f} ({float(own['p_loo'].max()):.2f})",
                ", ".join(f"{value:.2f}" for value in refit) or "none",
            ]
        )
    header = ["planet", "elpd [1]", "parameters used [1]"]
    header += ["bin that takes most of them [µm]", "bins to refit [µm]"]
    note = (
        "The expected log predictive density (elpd) is the sum, over bins, of the logarithm of the "
        "density that the other bins predict at each. Where the weights that leave a bin out have "
        f"a Pareto shape above {LARGEST_SHAPE:g}, only a retrieval without that bin tells."
    )
    return TableBlock(header, rows, f"{name}: bins left out", numeric_from=1, note=note)
