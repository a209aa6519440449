"""The server gets what it needs of its launcher's variables, and neither proxies nor secrets."""

from pathlib import Path

from deploy.embedded.environment import Environment
from deploy.embedded.installations.base import RunnableTriton
from deploy.embedded.process_environment import process_environment

TRITON = RunnableTriton(
    binary=Path("/triton/bin/tritonserver"),
    backends=Path("/triton/backends"),
    libraries=(Path("/triton/lib"),),
    carrier=Environment(
        python=Path("/venv/bin/python"),
        version=(3, 11),
        prefix=Path("/venv"),
        site_packages=(Path("/venv/packages"),),
        library_folder=Path("/python/lib"),
    ),
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
        "LD_LIBRARY_PATH": "/further::/more:",
    }
    assert process_environment(TRITON, library=Path("/repository/lib"), inherited=inherited) == {
        "OMP_NUM_THREADS": "2",
        "HOME": "/home/me",
        "PATH": "/venv/bin:/usr/bin",
        "LD_LIBRARY_PATH": "/triton/lib:/python/lib:/further:/more",
        "PYTHONPATH": "/repository/lib:/venv/packages",
        "PYTHONNOUSERSITE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
