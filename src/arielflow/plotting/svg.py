"""Figures as SVG, the same bytes every time."""

from __future__ import annotations

import io

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


def svg_bytes(figure: Figure, name: str) -> bytes:
    """A figure as a stand-alone SVG file, the same bytes every time; the layout is final then."""
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        FigureCanvasSVG(figure)  # measures texts as they are drawn
        if (engine := figure.get_layout_engine()) is not None:
            # Left to savefig, it costs a drawing of everything more.
            engine.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
