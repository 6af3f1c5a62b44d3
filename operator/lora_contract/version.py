"""The one version of operator, trainer, chart and contract."""

__version__ = "0.1.0"
