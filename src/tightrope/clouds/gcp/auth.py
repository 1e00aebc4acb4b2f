"""Asks Google's own library for the credentials of the user: Application Default Credentials, and nothing else.

They are sent to Google and to the loopback only, never to a mirror, and are in no message.
"""

import warnings
from collections.abc import Mapping
from urllib.request import getproxies

import urllib3

from tightrope.base.errors import MissingExtraError, SourceError
from tightrope.clouds.downloads import host_of, on_loopback

SCOPE = "https://www.googleapis.com/auth/cloud-billing.readonly"
LOG_IN = "run `gcloud auth application-default login`, or name a service account's key file in GOOGLE_APPLICATION_CREDENTIALS"


def trusted(url: str) -> bool:
    r"""Return whether the user's credentials may go to a URL.

    >>> trusted("https://cloudbilling.googleapis.com/v1/services"), trusted("https://mirror.example\\@x.googleapis.com/v1")
    (True, False)
    """
    return on_loopback(url) or (url.startswith("https://") and host_of(url).endswith(".googleapis.com"))


def headers_for(url: str, scope: str = SCOPE, what: str = "Google's price list") -> Mapping[str, str]:
    """Return the headers that identify the user to Google; none for a mirror. ``what`` asks for them, in messages.

    Raises
    ------
    MissingExtraError
        The library is not installed.
    SourceError
        There are no credentials, or Google does not take them.

    """
    return _google_headers(scope, what, near=on_loopback(url)) if trusted(url) else {}


def _google_headers(scope: str, what: str, *, near: bool) -> Mapping[str, str]:
    """Return the headers with a fresh token, and the project that is charged for the requests where one is set."""
    try:
        import google.auth  # an optional part, loaded when it is needed
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
        from google.auth.transport.urllib3 import Request
    except ImportError as error:
        msg = f"{what} asks for credentials, and the library that finds them is not installed"
        raise MissingExtraError(msg, resolve="pip install 'tightrope[gcp]'") from error
    headers: dict[str, str] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library says of quota projects is told by Google's answer, if it matters
            credentials, _ = google.auth.default(scopes=[scope])
        credentials.refresh(Request(_http(near=near)))
        credentials.apply(headers)
    except DefaultCredentialsError:
        msg = f"{what} asks for credentials, and there are none on this machine that can be used"
        raise SourceError(msg, resolve=LOG_IN) from None
    except (GoogleAuthError, ValueError, OSError) as error:
        msg = f"Google did not take the credentials of this machine ({type(error).__name__})"
        raise SourceError(msg, resolve=LOG_IN) from None
    return headers


def _http(*, near: bool) -> urllib3.PoolManager:
    """Return the way to where tokens are made: by the proxy that the environment names, never on this machine itself."""
    proxy = "" if near else getproxies().get("https", "")
    return urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
