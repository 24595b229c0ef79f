"""Rubrics of judged benchmarks: requests, decoding and parsers, one file each."""
