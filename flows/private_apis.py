"""Private APIs of libraries that flows use: check each after an upgrade; a test checks that it is still there.

``battery_core`` has its own list for torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PrivateApi:
    """One private name of a library.

    Args:
        library: distribution.
        versions: versions it was checked with.
        address: ``module:qualified.name``.
        reason: what no public name offers.
    """

    library: str
    versions: str
    address: str
    reason: str


PRIVATE_APIS = (
    PrivateApi(
        library="prefect",
        versions=">=3.6,<3.9",
        address="prefect.server.api.server:SubprocessASGIServer._run_uvicorn_command",
        reason="the temporary server has to start with SIGINT blocked, and Prefect starts it without a hook",
    ),
)
