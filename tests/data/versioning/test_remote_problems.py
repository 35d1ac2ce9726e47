"""What problems of a remote mean, and what settings say of S3; the storage itself is in tests/e2e/test_s3.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from battery_core.data.settings import DataSettings
from battery_core.data.versioning.remote import Remote
from battery_core.data.versioning.remote_problems import explain


@pytest.mark.parametrize(
    ("line", "said", "may_heal"),
    [
        ("botocore.exceptions.NoCredentialsError: Unable to locate credentials", "found no keys - set AWS_ACC", False),
        ("botocore.exceptions.ProfileNotFound: The config profile (x) could not be found", "AWS_PROFILE names", False),
        ("PermissionError: Access Denied", "the keys are refused", False),
        ("PermissionError: [Errno 13] Permission denied: '/mnt/nas/files'", "PermissionError: [Errno 13]", True),
        ("not done after 5 s, stopped", "not done after 5 s, stopped", True),
        ("", "", True),
    ],
)
def test_what_a_problem_means(line: str, said: str, may_heal: bool) -> None:
    meaning, heals = explain(line)
    assert meaning.startswith(said)
    assert heals is may_heal


def test_where_a_version_went_is_told_with_who_serves_the_bucket() -> None:
    data = DataSettings(remote="s3://cells/soh", remote_endpoint_url="http://nas:9000", remote_region="eu-west-2")
    remote = Remote.of(Path("."), data)
    assert remote.label == "s3://cells/soh at http://nas:9000"
    assert remote.config == {"url": "s3://cells/soh", "endpointurl": "http://nas:9000", "region": "eu-west-2"}
    amazon = Remote(Path("."), "s3://cells/soh")
    assert (amazon.label, amazon.config) == ("s3://cells/soh", {"url": "s3://cells/soh"})


def test_an_endpoint_is_an_address_and_only_s3_has_one() -> None:
    with pytest.raises(
        ValueError, match=r"remote_endpoint_url: expected http://\.\.\. or https://\.\.\., got 'nas:9000'"
    ):
        DataSettings(remote="s3://cells", remote_endpoint_url="nas:9000")
    with pytest.raises(ValueError, match=r"are of an s3:// remote, and data.remote is '/mnt/nas' - leave them empty"):
        DataSettings(remote="/mnt/nas", remote_region="eu-west-2")
    assert DataSettings(remote="", remote_endpoint_url="http://nas:9000").remote == ""
