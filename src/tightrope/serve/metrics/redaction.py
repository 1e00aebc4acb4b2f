"""Text without what looks like a key: for logs and traces, which are read by more people than keys are given to.

What a key looks like is said by its maker's prefix or by the word before it; any other is told by its length and mix of signs. Digests
and names in small letters are left, so that logs stay readable.
"""

import re

GONE = "[redacted]"
_SIGNS = "A-Za-z0-9+_-"
_NAMED = rf"""(?ix:
      (?P<own>\btr_[A-Za-z0-9-]{{1,64}}_)[^\s"',;)\]}}]+            # our own: the name is public
    | (?P<scheme>\b(?:Bearer|Basic)\s+)[^\s"',;)\]}}]+
    | (?P<user>://[^\s:/@]{{0,256}}:)[^\s/@]{{1,256}}(?=@)            # of a URL
    | (?P<word>\b(?:x-)?(?:api[-_]?key|authorization|password|passwd|secret|access[-_]?key|token)["']?\s*[:=]\s*["']?)
      (?!(?:Bearer|Basic)\s)[^\s"',;&)\]}}]+
    | \b(?:sk|pk|rk)[-_][{_SIGNS}]{{8,}}                            # OpenAI, Anthropic, Stripe
    | \b(?:hf|ghp|gho|ghs|github_pat|glpat|xox[a-z]|nvapi|gsk)[-_][{_SIGNS}]{{8,}}
    | \b(?:AKIA|ASIA)[0-9A-Z]{{16}}\b[{_SIGNS}]*                     # AWS
    | \bAIza[{_SIGNS}]{{30,}}                                       # Google
    | \beyJ[A-Za-z0-9_-]{{8,}}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*      # a signed token (RFC 7519)
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    )"""
_UNNAMED = (
    rf"(?<![{_SIGNS}])(?=[{_SIGNS}]*[a-z])(?=[{_SIGNS}]*[A-Z])(?=[{_SIGNS}]*[0-9])[{_SIGNS}]{{32,}}={{0,2}}(?![{_SIGNS}])"
    r"|(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])"
)
_NAMED_ALONE = re.compile(_NAMED)
_ANY = re.compile(f"{_NAMED}|{_UNNAMED}")  # in one pass: a key that holds another maker's prefix goes as a whole


def redacted(text: str, *, identities: bool = False) -> str:
    """Return ``text`` without keys; with ``identities``, what might as well be the name of a request or a trace is left.

    >>> redacted("GET /v1/models Authorization: Bearer abc.def, key tr_acme_s3cr3t")
    'GET /v1/models Authorization: Bearer [redacted], key tr_acme_[redacted]'
    >>> redacted("pool int8-container-instances-1vcpu-2gb-container: 20 tokens")
    'pool int8-container-instances-1vcpu-2gb-container: 20 tokens'
    """
    return (_NAMED_ALONE if identities else _ANY).sub(_without, text)


def _without(found: re.Match[str]) -> str:
    """Return what stands before a key, and that it is gone."""
    return f"{found['own'] or found['scheme'] or found['user'] or found['word'] or ''}{GONE}"
