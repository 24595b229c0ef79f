"""Execution of the points of a sweep on this machine."""
