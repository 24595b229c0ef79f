"""Points of a sweep: identity, name, folder, status and outcome. Imports no torch."""
