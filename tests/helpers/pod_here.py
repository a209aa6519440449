"""A pod's containers on this machine, as a kubelet would start them: volumes, users, rights, process 1.

For a process that is root and in mount and network namespaces of its own (`unshare --mount --net`). The image
is this machine's own root, read-only, with the project at /opt/q-face. Not done: limits of processors and
memory, seccomp.
"""

import base64
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from tests.helpers.paths import ROOT

Manifest = Mapping[str, Any]
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def run(*words: str) -> None:
    """A command that has to succeed."""
    subprocess.run(words, check=True)


class PodHere:
    """The root of a pod's containers, and its volumes.

    secrets and config_maps are those that the pod's volumes name, as their contents by key; the names of
    services lead to this machine, where the pod listens.
    """

    def __init__(
        self,
        spec: Manifest,
        *,
        folder: Path,
        secrets: Mapping[str, Mapping[str, bytes]],
        config_maps: Mapping[str, Mapping[str, bytes]],
        services: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self._folder = folder
        self._secrets = secrets
        self._config_maps = config_maps
        self._hosts = folder / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost {' '.join(services)}\n")
        self._group = spec["securityContext"]["fsGroup"]
        self._volumes = {volume["name"]: self._volume(volume) for volume in spec["volumes"]}

    def start(self, container: Manifest, *, log: TextIO) -> subprocess.Popen[str]:
        """A container's process: the first of its process namespace, without rights, on a read-only root."""
        root = self._root(container)
        security = self.spec["securityContext"]
        user = (
            *("setpriv", f"--reuid={security['runAsUser']}", f"--regid={security['runAsGroup']}"),
            *(f"--groups={self._group}", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"),
        )
        # The client lies there in the image; this environment's own way to it may lead below a volume.
        client = {"PYTHONPATH": "/opt/q-face/client"}
        variables = {"PATH": "/opt/q-face/.venv-serve/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"} | client
        variables |= {entry["name"]: entry["value"] for entry in container.get("env", ())}
        words = (*container["command"], *container["args"])
        clean = ("env", "-i", *(f"{name}={value}" for name, value in variables.items()))
        inside = f"cd {container.get('workingDir', '/')} && exec {shlex.join((*clean, *user, *words))}"
        outside = f"mount -t proc proc {root}/proc && exec chroot {root} /bin/sh -c {shlex.quote(inside)}"
        return subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount", "--kill-child", "/bin/sh", "-c", outside],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def replace_secret(self, volume: str, contents: Mapping[str, Mapping[str, bytes]]) -> None:
        """Exchanges what a volume of Secrets holds, as a kubelet does: all files by one link."""
        self._secrets = contents
        described = next(each for each in self.spec["volumes"] if each["name"] == volume)
        self._project(self._volumes[volume], described["projected"])

    def volume(self, name: str) -> Path:
        """Where a volume's content lies."""
        return self._volumes[name]

    def _root(self, container: Manifest) -> Path:
        place = self._folder / f"root-{container['name']}"
        layers = self._folder / f"layers-{container['name']}"
        for path in (place, layers):
            path.mkdir()
        run("mount", "-t", "tmpfs", "layers", str(layers))
        (layers / "upper").mkdir()
        (layers / "work").mkdir()
        options = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        run("mount", "-t", "overlay", "root", "-o", options, str(place))
        # Python may lie in a folder of root's.
        for parent in Path(os.path.realpath(ROOT / ".venv-serve" / "bin" / "python")).parents:
            inside = place / parent.relative_to("/")
            inside.chmod(inside.stat().st_mode | 0o055)
        project = place / "opt" / "q-face"
        mounts = sorted(container["volumeMounts"], key=lambda mount: mount["mountPath"])
        for path in ("opt/q-face", "proc", *(mount["mountPath"].lstrip("/") for mount in mounts)):
            (place / path).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(self._hosts), str(place / "etc" / "hosts"))
        run("mount", "--bind", str(ROOT), str(project))
        run("mount", "-o", "remount,bind,ro", str(project))
        run("mount", "-o", "remount,ro", str(place))
        run("mount", "--rbind", "/dev", str(place / "dev"))
        for mount in mounts:
            target = str(place / mount["mountPath"].lstrip("/"))
            run("mount", "--bind", str(self._volumes[mount["name"]]), target)
            if mount.get("readOnly"):
                run("mount", "-o", "remount,bind,ro", target)
        return place

    def _volume(self, volume: Manifest) -> Path:
        path = self._folder / f"volume-{volume['name']}"
        path.mkdir()
        if "projected" in volume:
            run("mount", "-t", "tmpfs", volume["name"], str(path))
            self._project(path, volume["projected"])
        elif "configMap" in volume:
            for name, content in self._config_maps[volume["configMap"]["name"]].items():
                (path / name).write_bytes(content)
        elif "secret" in volume:
            self._project(
                path, {"sources": [{"secret": {"name": volume["secret"]["secretName"], **volume["secret"]}}]}
            )
        else:
            empty = volume["emptyDir"]
            if empty.get("medium") == "Memory":
                number, unit = empty["sizeLimit"][:-2], empty["sizeLimit"][-2:]
                size = int(float(number) * _UNITS[unit])
                run("mount", "-t", "tmpfs", "-o", f"size={size}", volume["name"], str(path))
            os.chown(path, 0, self._group)
            path.chmod(0o2777)
        return path

    def _project(self, path: Path, projected: Manifest) -> None:
        data = path / f"..{time.time_ns()}"
        data.mkdir()
        for source in projected["sources"]:
            secret = source["secret"]
            content = self._secrets.get(secret["name"])
            if content is None and secret.get("optional"):
                continue
            assert content is not None, f"the pod would wait for the Secret {secret['name']}"
            for item in secret["items"]:
                if item["key"] not in content and secret.get("optional"):
                    continue
                file = data / item["path"]
                file.write_bytes(content[item["key"]])
                os.chown(file, 0, self._group)
                file.chmod(projected.get("defaultMode", 0o644) | 0o440)
                link = path / item["path"]
                if not link.is_symlink():
                    link.symlink_to(f"..data/{item['path']}")
        fresh = path / "..data_tmp"
        fresh.symlink_to(data.name)
        fresh.rename(path / "..data")


def config_maps(manifests: Sequence[Manifest]) -> dict[str, dict[str, bytes]]:
    """The contents of rendered ConfigMaps by their names."""
    return {
        each["metadata"]["name"]: {
            **{key: text.encode() for key, text in each.get("data", {}).items()},
            **{key: base64.b64decode(text) for key, text in each.get("binaryData", {}).items()},
        }
        for each in manifests
        if each["kind"] == "ConfigMap"
    }


def first_process(container: subprocess.Popen[str]) -> int:
    """The number, here, of a container's process 1."""
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
    return int(children[0])


def terminate(container: subprocess.Popen[str]) -> None:
    """SIGTERM to process 1, as a runtime sends it."""
    os.kill(first_process(container), signal.SIGTERM)
