"""Clients of paid models: requests, a journal of raw replies, limits, retries and batches.

A file that defines `make_client(judge)` is a client, and `judge.client` names it; mmdpo/clients/client.py describes
its interface, and docs/extending.md has an example. This package knows no ratings.
"""
