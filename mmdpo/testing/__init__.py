"""Rehearsal servers: local servers with the API of paid services, which fail as those do."""
