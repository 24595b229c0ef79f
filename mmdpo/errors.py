"""The one error that a user's input can cause."""


class UserError(ValueError):
    """Something the user can mend. The message says what was seen, what is allowed, what to type."""
