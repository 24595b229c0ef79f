"""Fitting a training to its device: FLOPs and memory of the real code without its data, and a plan from both."""
