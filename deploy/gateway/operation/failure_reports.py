"""Failures that cross processes: an error of deploy.embedded as the fields of a report, and back."""

from collections.abc import Mapping
from typing import Any

from deploy.embedded import errors


def fields_of(error: Exception) -> dict[str, Any]:
    """The class, the sentence, and what else the class keeps."""
    kept = {name: value for name, value in vars(error).items() if isinstance(value, str | int)}
    return {"error": type(error).__name__, "sentence": str(error), "kept": kept}


def error_of(fields: Mapping[str, Any]) -> errors.EmbeddedServerError:
    """The error again; one whose class is not of deploy.embedded comes back as CannotStart."""
    sentence, kept = str(fields["sentence"]), fields.get("kept", {})
    found = getattr(errors, str(fields.get("error")), errors.CannotStart)
    if not (isinstance(found, type) and issubclass(found, errors.EmbeddedServerError)):
        found = errors.CannotStart
    try:
        return found(sentence, **kept)
    except TypeError:  # another version of the class
        return errors.CannotStart(sentence)
