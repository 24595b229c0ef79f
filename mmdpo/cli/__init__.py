"""The commands of `python -m mmdpo`: they look at results, jobs and data, and never train."""
