"""The system's libraries, the Triton and its Python, and what would be served."""

from collections.abc import Iterator

from build.acceptance.precision_decision import precision_lines
from build.manifest import read_manifest
from deploy.doctor.findings import Finding, Host, attempt
from deploy.embedded.assembled_repository import Repository
from deploy.embedded.environment import Environment
from deploy.embedded.host_check import check_host


def system(host: Host) -> Iterator[Finding]:
    """Linux on x86-64, and the C library."""
    described = "the system is Linux on x86-64 with a glibc that is new enough"
    yield attempt("system", check_host, ok=lambda _none: described)


def triton(host: Host) -> Iterator[Finding]:
    """The Triton, the Python that carries its models, and that one's shared library."""

    def described(carrier: Environment) -> str:
        return f"{host.triton.title} runs its models by {carrier.python} (Python {carrier.written_version})"

    yield attempt("triton", lambda: host.triton.inspect(host.options.python), ok=described)


def repository(host: Host) -> Iterator[Finding]:
    """The repository's files, and its engine against this GPU and TensorRT."""

    def described(opened: Repository) -> str:
        engine = read_manifest(opened.folder)["stages"]["engine"]
        where = "a GPU" if opened.on_gpu else "the CPU"
        return (
            f"the repository {opened.folder} is as its manifest says: {len(opened.names)} models, "
            f"{engine['target']} in {engine['precision']}, on {where}"
        )

    yield attempt("repository", lambda: host.repository, ok=described)
    if host.models is not None and not host.triton.serves_gpus and host.is_for_gpus:
        sentence = (
            f"the engine of {host.options.repository} is for a GPU, and {host.triton.title} serves on the "
            "CPU: name an installed one with --triton (in NVIDIA's image /opt/tritonserver)"
        )
        yield Finding(check="repository", level="note", sentence=sentence)


def precision(host: Host) -> Iterator[Finding]:
    """In which precision it would be served."""
    if host.models is None:
        return
    for line in precision_lines(read_manifest(host.repository.folder)):
        yield Finding(check="precision", level="ok", sentence=line)
