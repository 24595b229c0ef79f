"""Errors that a user's input or the limits of a service can cause."""


class UserError(ValueError):
    """An error that the user can fix. The message names the value, the allowed values and the override to type."""


class Stopped(UserError):
    """A limit that ended the run for now. Finished work is kept; rerun the same command to continue."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later


class Outstanding(Stopped):
    """Replies of batch jobs that are not there yet. Jobs for other work can be submitted meanwhile."""
