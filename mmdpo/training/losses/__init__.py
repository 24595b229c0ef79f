"""Losses that TRL does not have, one pure function `loss` per file."""
