"""Validates Kubernetes objects; a script for the Python of .venv-deploy, which has kubernetes-validate.

Standard input: JSON with `versions` of Kubernetes, `manifests`, and `schemas`, the folder of the schemas of
custom resources. Standard output: a JSON list with a sentence for each object that is refused.
"""

import functools
import json
import sys
from pathlib import Path
from typing import Any

# Formats are not looked at here, and this one's grammar takes longer to load than all else.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

import jsonschema.exceptions  # noqa: E402
from kubernetes_validate import utils  # noqa: E402

# Read for each object anew otherwise.
utils.schema_contents = functools.cache(utils.schema_contents)

# Fields of a predictor that are not its pods'.
_OF_COMPONENT = {"annotations", "labels", "minReplicas", "maxReplicas", "deploymentStrategy"}


@functools.cache
def _validator(schema: Path) -> Any:
    return jsonschema.Draft7Validator(json.loads(schema.read_text()))


def _custom(manifest: dict[str, Any], schemas: Path) -> str | None:
    validator = _validator(schemas / f"{manifest['kind']}.json")
    error = jsonschema.exceptions.best_match(validator.iter_errors(manifest))
    return None if error is None else f"{error.json_path}: {error.message}"


def _pod_of_predictor(manifest: dict[str, Any]) -> dict[str, Any]:
    """What KServe makes pods of, as a pod: its schema leaves Kubernetes' own parts open."""
    predictor = manifest["spec"]["predictor"]
    spec = {key: value for key, value in predictor.items() if key not in _OF_COMPONENT}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": manifest["metadata"], "spec": spec}


def _native(manifest: dict[str, Any], version: str) -> str | None:
    try:
        utils.validate(manifest, version, strict=True)
    except utils.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message[:300]}"
    except utils.SchemaNotFoundError as error:
        return str(error.message)
    return None


def main() -> int:
    """Reads, validates, writes."""
    asked = json.load(sys.stdin)
    schemas = Path(asked["schemas"])
    found = []
    for manifest in asked["manifests"]:
        native = manifest
        checks = {}
        if (schemas / f"{manifest['kind']}.json").exists():
            checks["its own schema"] = _custom(manifest, schemas)
            native = _pod_of_predictor(manifest) if manifest["kind"] == "InferenceService" else None
        if native is not None:
            checks |= {f"Kubernetes {version}": _native(native, version) for version in asked["versions"]}
        found += [
            f"{manifest['kind']} {manifest['metadata']['name']}, {against}: {problem}"
            for against, problem in checks.items()
            if problem
        ]
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
