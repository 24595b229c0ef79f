"""Commands of `python -m mmdpo` for results, jobs and data; none of them trains."""
