"""Fixtures of batch jobs, shared with the tests of clients."""

from tests.clients.conftest import batching, journal, server

__all__ = ["batching", "journal", "server"]
