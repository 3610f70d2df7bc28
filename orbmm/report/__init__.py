"""Figures and pages of the results; the figures are readable in print, in grey, and with colour blindness."""

from orbmm.report.figures import draw_figure, write_figures
from orbmm.report.findings import list_findings
from orbmm.report.notebook import show_result, show_structure
from orbmm.report.page import build_page, write_page

__all__ = [
    "build_page",
    "draw_figure",
    "list_findings",
    "show_result",
    "show_structure",
    "write_figures",
    "write_page",
]
