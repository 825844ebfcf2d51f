"""The HTML report of a run."""

from __future__ import annotations

from arielflow.report.build import build_report
from arielflow.report.content import ReportContent, load_content

__all__ = ["ReportContent", "build_report", "load_content"]
