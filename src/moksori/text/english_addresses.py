"""Web and mail addresses as they are read aloud (RFC 3986, RFC 5322): signs by name, no scheme and no "www."."""

import re

_DOTTED = re.compile(r"(?<![a-z])(?:www\.|[a-z]{2}[./])|\.(?:com|org|net|edu|gov|io|info|co|uk|de|nl|kr|ai|dev|eu)\b")
_HOST = re.compile(
    r"(?:[a-z]{2,6}://(?P<any>\S{1,300})|www\.(?P<www>\S{1,300})|(?P<mail>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5})"
    r"|(?P<bare>(?:[\w-]{1,63}\.){1,4}(?:com|org|net|edu|gov|io|info|ai|dev|eu|(?:co|ac|org)\.[a-z]{2})"
    r"(?::\d{1,5})?(?:/\S{0,200})?))",
    re.IGNORECASE,
)
_SIGNS = {
    ".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "+": "plus", "#": "hash", "~": "tilde", "%": "percent",
}  # fmt: skip
_LONGEST = 400


def expand_addresses(text: str) -> str:
    """Text whose addresses are words; digits in them stay for the rules of numbers."""
    if "@" in text or "://" in text or _DOTTED.search(text):
        return " ".join(_address(token) for token in text.split(" "))
    return text


def _address(token: str) -> str:
    """A web or mail address in words; anything else unchanged."""
    if len(token) > _LONGEST or not ("." in token or "://" in token):
        return token
    core = token.strip(".,;:!?\"'()[]<>")
    match = _HOST.fullmatch(core)
    if not match:
        return token
    before, _, after = token.partition(core)
    address = next(part for part in match.groups() if part is not None)
    address = address.removeprefix("www.").rstrip("/")
    words = "".join(f" {_SIGNS[c]} " if c in _SIGNS else c if c.isalnum() else " " for c in address)
    return before + " ".join(words.split()) + after
