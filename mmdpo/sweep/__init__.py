"""Points, their identity and status, the plan of a sweep, and its running. Imports no torch."""
