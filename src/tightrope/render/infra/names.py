"""Names that every target accepts, made from names that people chose: stable, and never two alike.

A name that is safe as it stands is kept. Any other is brought into form and ends in six hexadecimal digits of its SHA-256, so that a
re-render gives the same name, and two different texts never the same one.
"""

import hashlib
import re

MOST = 40
"""Letters of a name, so that a target can add to it and stay below the 63 of DNS labels and Kubernetes."""
_SAFE = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def slug(text: str, most: int = MOST) -> str:
    r"""Return a DNS label (RFC 1123, beginning with a letter) of at most ``most`` letters that stands for ``text`` alone.

    >>> slug("int8-g4dn-xlarge")
    'int8-g4dn-xlarge'
    >>> slug("Chat ${x}\n")
    'chat-x-285695'
    """
    if len(text) <= most and _SAFE.fullmatch(text) and "--" not in text:
        return text
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    plain = plain if plain[:1].isalpha() else f"x-{plain}".rstrip("-")
    return f"{plain[: most - 7].rstrip('-')}-{_digest(text)}"


def label_value(text: str) -> str:
    """Return a value that Kubernetes' labels and the tags of AWS and Azure take: as it stands where it can, else as a ``slug``.

    >>> label_value("g4dn.xlarge")
    'g4dn.xlarge'
    """
    return text if _LABEL.fullmatch(text) else slug(text)


def pascal(text: str) -> str:
    """Return a CloudFormation logical name (letters and digits alone) for a ``slug``; two slugs never share one.

    A capital says where a word begins, but for one that begins with a digit: such a name ends in six digits of its SHA-256.

    >>> pascal("int8-g4dn-xlarge"), pascal("int8-g4dn-2xlarge")
    ('Int8G4dnXlarge', 'Int8G4dn2xlargefd3991')
    """
    joined = "".join(part.capitalize() for part in text.split("-"))
    return f"{joined}{_digest(text)}" if re.search(r"-\d", text) else joined


def _digest(text: str) -> str:
    """Return six hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
