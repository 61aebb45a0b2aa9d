"""What all tests share."""

import pytest
from hypothesis import settings

# A deadline measures the machine: a busy one would fail what is right. Speed is `make bench`'s business.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

pytest_plugins = ["minio_service", "api_server", "control_plane", "cluster", "stored_runs", "operator_process"]


def pytest_configure(config: pytest.Config) -> None:
    """Name the tier that needs more than the others."""
    config.addinivalue_line("markers", "cluster: starts a cluster with a node that runs pods of our images; needs root")
