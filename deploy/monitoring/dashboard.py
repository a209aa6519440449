"""The dashboard for Grafana, written as code.

    .venv-deploy/bin/python -m deploy.monitoring.dashboard --write

q-face.dashboard.json beside this file is made of it, from `deploy.monitoring.panels`. Without --write it is
compared with that file: the status is 1 where it is another.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from deploy.monitoring.panels import ONE, PANELS, SERVICE, Shown

FILE = Path(__file__).with_name("q-face.dashboard.json")
_UID = "q-face"
_ALL = ".*"  # a label that a deployment lacks matches it, too


def build() -> str:
    """The dashboard as JSON."""
    built = (
        dashboard.Dashboard("Q-Face")
        .uid(_UID)
        .description("What callers see, what waits, what is refused and why, processes, GPUs, answers.")
        .tags(["q-face", "triton"])
        .editable()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for name, query in (
        ("namespace", "label_values(qface_gateway_ready, namespace)"),
        ("job", 'label_values(qface_gateway_ready{namespace=~"$namespace"}, job)'),
        ("instance", f"label_values(qface_gateway_ready{{{SERVICE}}}, instance)"),
        ("model", f"label_values(qface_gateway_model_ready{{{ONE}}}, model)"),
    ):
        built = built.with_variable(_variable(name, query))
    numbers = itertools.count(1)
    for title, panels in PANELS.items():
        built = built.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            built = built.with_panel(_panel(panel).id(next(numbers)))
    text: str = JSONEncoder(sort_keys=True, indent=1).encode(built.build())
    return text + "\n"


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(_source())
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(_ALL)
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def _source() -> models.DataSourceRef:
    return models.DataSourceRef(type_val="prometheus", uid="$datasource")


def _panel(shown: Shown) -> Any:
    kinds = {"lines": timeseries.Panel, "stat": stat.Panel, "table": table.Panel}
    panel = kinds[shown.kind]().title(shown.title).datasource(_source()).unit(shown.unit).span(shown.width)
    panel = panel.height(4 if shown.kind == "stat" else 8)
    if shown.about:
        panel = panel.description(shown.about)
    if shown.kind == "lines":
        panel = panel.min(0) if shown.most is not None else panel
        panel = panel.fill_opacity(8).line_width(1).show_points(common_models.VisibilityMode.NEVER)
        panel = panel.legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .calcs([])
        )
        panel = panel.tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    elif shown.kind == "stat":
        panel = panel.reduce_options(
            common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
        )
    else:
        panel = panel.show_header(True)
    if shown.most is not None:
        panel = panel.max(shown.most)
    if shown.bounds:
        steps = [models.Threshold(value=value or None, color=colour) for value, colour in shown.bounds]
        panel = panel.thresholds(
            dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
        )
    for number, query in enumerate(shown.queries):
        target = (
            prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + number))
        )
        if shown.kind != "lines":
            target = target.instant()
        if shown.kind == "table":
            target = target.format("table")
        panel = panel.with_target(target)
    return panel


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.monitoring.dashboard", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--write", action="store_true", help="write the file")
    options = parser.parse_args(arguments)
    if options.write:
        FILE.write_text(build())
        return 0
    if FILE.read_text() != build():
        print(f"{FILE.name} is not what this program makes: run it with --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
