"""Clients of paid models: requests, a journal of raw replies, limits, retries and batches."""
