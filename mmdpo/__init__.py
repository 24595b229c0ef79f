"""mmdpo: sweeps of multi-modal preference alignment, one line an experiment."""

__version__ = "0.1.0"
