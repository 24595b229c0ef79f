"""Annotations -> a training set, one file a kind of it."""
