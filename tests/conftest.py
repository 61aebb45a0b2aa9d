"""What all tests share."""

from hypothesis import settings

# A deadline measures the machine: a busy one would fail what is right. Speed is `make bench`'s business.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

pytest_plugins = [
    "browser",
    "minio_service",
    "api_server",
    "control_plane",
    "cluster",
    "stored_runs",
    "operator_process",
    "load",
    "installation",
    "prometheus",
    "monitored_runs",
]
