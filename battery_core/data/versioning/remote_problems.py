"""Explanations of storage errors during the copy of a data version, with a remedy."""

from __future__ import annotations

import re

_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"

# what the last line of the library matches; what it means; whether trying again may help
_PROBLEMS = (
    (r"bucket does not exist|NoSuchBucket", "there is no such bucket - create it once, or correct data.remote", False),
    (
        r"NoCredentials|Unable to locate credentials|PartialCredentials",
        f"found no keys - set {_KEYS} in the environment of the run",
        False,
    ),
    (r"ProfileNotFound", "AWS_PROFILE names a profile that is not in ~/.aws - correct it, or unset it", False),
    (
        r"^PermissionError: (?!\[Errno)|Forbidden|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken",
        f"the keys are refused - correct {_KEYS}, or let them list, read and write this bucket",
        False,
    ),
    (
        r"EndpointConnectionError|Could not connect|ConnectTimeout|Connection refused|ConnectionClosed",
        "does not answer - is it up, is the network there, is data.remote_endpoint_url right?",
        True,
    ),
)


def explain(line: str) -> tuple[str, bool]:
    """Explain an error with its remedy, and whether a retry may succeed; an unknown line is returned unchanged.

    Example:
        >>> explain("FileNotFoundError: The specified bucket does not exist")
        ('there is no such bucket - create it once, or correct data.remote', False)
        >>> explain("OSError: disk is on fire")
        ('OSError: disk is on fire', True)
    """
    for pattern, means, may_heal in _PROBLEMS:
        if re.search(pattern, line):
            return means, may_heal
    return line, True
