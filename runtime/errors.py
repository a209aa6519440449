"""What can be wrong with a request's input. One sentence each: what was wrong, with what, what to do."""


class InvalidInput(ValueError):
    """The caller's input can't be used; the message is meant for the caller."""


class InvalidImage(InvalidInput):
    """Not a picture that can be decoded: another format, cut short, damaged, empty or too large."""


class InvalidBox(InvalidInput):
    """A face's box that is infinite, empty or outside the picture."""


class InvalidLandmarks(InvalidInput):
    """Landmarks of a face that are infinite, outside the picture or fall into one point."""
