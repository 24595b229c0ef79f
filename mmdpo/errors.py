"""What a user's input can cause, and what a service's limits can."""


class UserError(ValueError):
    """Something the user can mend. The message says what was seen, what is allowed, what to type."""


class Stopped(UserError):
    """A limit ends the run for now: what is done is kept, and the same line goes on from there."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later
