"""mmdpo: sweeps of multi-modal preference alignment; one command is one experiment."""

__version__ = "0.2.0"
