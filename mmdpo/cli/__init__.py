"""The commands of `python -m mmdpo`: they look, import and export, and never train."""
