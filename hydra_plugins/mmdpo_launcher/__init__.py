"""Hydra looks for plugins in this namespace only; the launcher itself lies in `launcher.py`."""
