"""Rehearsals: servers on the loopback interface that speak as the paid services do, and fail as they do."""
