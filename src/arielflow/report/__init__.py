"""The HTML report of a run."""

from __future__ import annotations

from arielflow.report.build import build_report, write_figures
from arielflow.report.content import ReportContent, load_content

__all__ = ["ReportContent", "build_report", "load_content", "write_figures"]
