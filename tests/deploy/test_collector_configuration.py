"""deploy/monitoring/otel-collector.yaml: pipelines name what is there, and gateways find it where they look.

The collector itself is a program of Go's that no registry of Python's or Debian's has: here it does not run.
"""

import re
from typing import Any

import pytest
import yaml

from tests.helpers.paths import ROOT

TEXT = (ROOT / "deploy" / "monitoring" / "otel-collector.yaml").read_text()
VARIABLE = re.compile(r"\$\{env:([A-Z_]+)(?::-([^}]*))?\}")


def configuration(**variables: str) -> Any:
    """As the collector reads it with these variables."""
    return yaml.safe_load(VARIABLE.sub(lambda found: variables.get(found[1], found[2] or ""), TEXT))


@pytest.mark.parametrize(
    "variables",
    [{}, {"TRACE_EXPORTERS": "[debug, otlp_http]", "OTLP_BACKEND": "http://tempo:4318"}],
    ids=["alone", "backend"],
)
def test_pipelines_name_what_is_configured_and_nothing_is_left_over(variables: dict[str, str]) -> None:
    collector = configuration(**variables)
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in collector["service"]["pipelines"].values() for name in pipeline[kind]}
        assert used <= collector[kind].keys()
        assert kind == "exporters" or used == collector[kind].keys()
    assert collector["service"]["extensions"] == list(collector["extensions"])
    assert collector["service"]["pipelines"]["traces"]["processors"][0] == "memory_limiter"


def test_it_is_yaml_before_variables_are_put_in_too() -> None:
    """So the collector reads it: a variable is a value's whole text."""
    exporters = yaml.safe_load(TEXT)["service"]["pipelines"]["traces"]["exporters"]
    assert VARIABLE.fullmatch(exporters)


def test_every_variable_has_a_default_and_is_explained() -> None:
    found = VARIABLE.findall(TEXT)
    document = (ROOT / "docs" / "gateway.md").read_text()
    assert found
    for name, default in found:
        assert default
        assert f"#   {name}" in TEXT
        assert f"{name}=" in document


def test_gateways_find_it_on_the_port_that_the_documents_name() -> None:
    protocols = configuration()["receivers"]["otlp"]["protocols"]
    assert protocols["http"]["endpoint"] == "0.0.0.0:4318"
    assert "--otlp-endpoint http://collector:4318" in (ROOT / "docs" / "gateway.md").read_text()
