"""What is said once to a person who is about to imitate somebody's voice."""

from collections.abc import Iterable

from moksori.pipeline.models import home

NOTICE = (
    "imitating a voice needs the consent of the person whose voice it is; what you make is marked as synthetic in its "
    "metadata (this is said once)"
)
CONSENT = "made of recordings of a person: to be used with the consent of that person only"
"""What the file of a voice that was made of recordings says, where nobody gave a note of their own."""
_MARK = "consent-notice-shown"


def kept_consent(notes: Iterable[str]) -> str:
    """What the file of a voice made of several says: the note of each, once."""
    return "; ".join(dict.fromkeys(note for note in notes if note))


def consent_notice() -> str | None:
    """The notice on the first call of this user, which `home()` remembers; None from then on.

    Where nothing can be kept there it is said each time: that it was read is not to be taken for granted.
    """
    mark = home() / _MARK
    try:
        if mark.exists():
            return None
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        pass
    return NOTICE
