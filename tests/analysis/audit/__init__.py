"""Tests of mmdpo.analysis.audit."""
