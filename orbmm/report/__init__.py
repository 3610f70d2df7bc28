"""Results made visible: figures that read well in print, in grey and for colour-blind people."""

from orbmm.report.figures import draw_figure, write_figures

__all__ = ["draw_figure", "write_figures"]
