"""The server gets what it needs of its launcher's variables, and neither proxies nor secrets."""

from pathlib import Path

from deploy.embedded.environment import Environment
from deploy.embedded.process_environment import process_environment

CARRIER = Environment(
    python=Path("/venv/bin/python"),
    version=(3, 11),
    prefix=Path("/venv"),
    site_packages=(Path("/venv/packages"),),
    library_folder=Path("/python/lib"),
    wheel=Path("/venv/packages/pytriton/tritonserver"),
    wheel_version="0.7.0",
    wheel_libraries=Path("/venv/packages/nvidia_pytriton.libs"),
)


def test_proxies_and_secrets_are_withheld_and_settings_are_not() -> None:
    inherited = {
        "http_proxy": "http://proxy",
        "NO_PROXY": "localhost",
        "AWS_SECRET_ACCESS_KEY": "s",
        "GITHUB_TOKEN": "t",
        "PGPASSWORD": "p",
        "VIRTUAL_ENV": "/other",
        "PYTHONHOME": "/other",
        "OMP_NUM_THREADS": "2",
        "HOME": "/home/me",
        "PATH": "/usr/bin",
        "LD_LIBRARY_PATH": "/further",
    }
    assert process_environment(CARRIER, library=Path("/repository/lib"), inherited=inherited) == {
        "OMP_NUM_THREADS": "2",
        "HOME": "/home/me",
        "PATH": "/venv/bin:/usr/bin",
        "LD_LIBRARY_PATH": "/venv/packages/nvidia_pytriton.libs:/python/lib:/further",
        "PYTHONPATH": "/repository/lib:/venv/packages",
        "PYTHONNOUSERSITE": "1",
    }
