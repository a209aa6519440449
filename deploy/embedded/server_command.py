"""The command that starts tritonserver."""

from pathlib import Path

from deploy.embedded.installations import RunnableTriton
from deploy.embedded.shell_path import shell_safe


def server_command(
    triton: RunnableTriton,
    *,
    models: Path,
    config_name: str | None,
    gpu_metrics: bool,
    shm_prefix: str,
    grace: float,
) -> list[str]:
    """Without where it listens. All of these options are in 2.51 and in later servers.

    models        the repository's models/
    config_name   which of each model's configs/ to prefer; None: config.pbtxt
    gpu_metrics   whether its metrics have those of GPUs (nv_gpu_*)
    shm_prefix    what the names of its shared memory begin with
    grace         seconds that in-flight requests have at an ordered end
    """
    return [
        str(triton.binary),
        f"--model-repository={shell_safe(models, prefix=shm_prefix)}",
        *([] if config_name is None else [f"--model-config-name={config_name}"]),
        f"--backend-directory={shell_safe(triton.backends, prefix=shm_prefix)}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        # Configs are generated whole; completing them would start every Python model twice.
        "--disable-auto-complete-config",
        f"--allow-gpu-metrics={'true' if gpu_metrics else 'false'}",
        f"--exit-timeout-secs={max(1, round(grace))}",
    ]
