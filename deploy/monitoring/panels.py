"""What the dashboard shows: rows of panels, and each one's queries. A test runs them all on a Prometheus."""

import dataclasses
from collections.abc import Sequence
from typing import Any

# The dashboard's variables select by these labels.
SERVICE = 'namespace=~"$namespace", job=~"$job"'
ONE = f'{SERVICE}, instance=~"$instance"'
COLUMNS = 24
_MODEL = f'{ONE}, model=~"$model"'
_RATE = "[$__rate_interval]"


# Units as Grafana calls them.
_SHORT = "short"
_REQUESTSPERSECOND = "reqps"
_PERCENTUNIT = "percentunit"
_SECONDS = "s"
_BYTESIEC = "bytes"
_MICROSECONDS = "µs"
_WATT = "watt"
_CELSIUS = "celsius"
_HERTZ = "hertz"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """What a panel asks, and how its lines are called."""

    expr: str
    legend: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """One panel. `kind` is stat, lines or table; `width` is in twenty-fourths of a row."""

    title: str
    queries: Sequence[Query]
    kind: str = "lines"
    unit: str = _SHORT
    width: int = 8
    about: str = ""
    most: float | None = None
    bounds: Sequence[tuple[float, str]] = ()  # from a value on, a colour


def _lines(title: str, *queries: tuple[str, str], **more: Any) -> Shown:
    return Shown(title=title, queries=[Query(expr=expr, legend=legend) for expr, legend in queries], **more)


def _stat(title: str, expr: str, **more: Any) -> Shown:
    return Shown(title=title, queries=[Query(expr=expr)], kind="stat", width=4, **more)


def _quantile(share: float, histogram: str, selector: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{selector}}}{_RATE})))"


_ANSWERED = f'{_MODEL}, outcome="answered"'
_GREEN, _ORANGE, _RED = "green", "orange", "red"

PANELS: dict[str, Sequence[Shown]] = {
    "Overview": [
        _stat("Ready replicas", f"sum(qface_gateway_ready{{{ONE}}})", bounds=[(0, _RED), (1, _GREEN)]),
        _stat(
            "Requests",
            f"sum(rate(qface_gateway_requests_total{{{_MODEL}}}{_RATE}))",
            unit=_REQUESTSPERSECOND,
        ),
        _stat("Faces a second", f"sum(rate(qface_gateway_faces_total{{{_MODEL}}}{_RATE}))"),
        _stat(
            "Without an answer by our fault",
            f"sum(rate(qface:requests_failed{{{ONE}}}{_RATE})) / sum(rate(qface:requests{{{ONE}}}{_RATE}))",
            unit=_PERCENTUNIT,
            bounds=[(0, _GREEN), (0.005, _ORANGE), (0.05, _RED)],
        ),
        _stat("p99", _quantile(0.99, "qface_gateway_request_seconds", _ANSWERED), unit=_SECONDS),
        _stat(
            "Alerts firing",
            'count(ALERTS{alertname=~"QFace.*", alertstate="firing"}) or vector(0)',
            bounds=[(0, _GREEN), (1, _RED)],
        ),
        _lines(
            "Time to an answer",
            *(
                (_quantile(share, "qface_gateway_request_seconds", _ANSWERED), name)
                for share, name in (
                    (0.5, "p50"),
                    (0.9, "p90"),
                    (0.99, "p99"),
                )
            ),
            unit=_SECONDS,
        ),
        _lines(
            "Requests by their end",
            (f"sum by (outcome) (rate(qface_gateway_requests_total{{{_MODEL}}}{_RATE}))", "{{outcome}}"),
            (f"sum(rate(qface_gateway_refused_total{{{_MODEL}}}{_RATE}))", "refused before admission"),
            unit=_REQUESTSPERSECOND,
        ),
        _lines(
            "Burning of the budgets",
            (
                f"qface:answers_slow:ratio_rate1h{{{SERVICE}}} / (1 - scalar(qface:bound:latency_objective))",
                "late, 1 h {{job}}",
            ),
            (
                f"qface:requests_failed:ratio_rate1h{{{SERVICE}}}"
                " / (1 - scalar(qface:bound:availability_objective))",
                "failed, 1 h {{job}}",
            ),
            about="1 uses up a month's allowance within a month; alerts fire from 14.4 on (1 h) and 6 (6 h).",
        ),
        Shown(
            title="Alerts",
            queries=[Query(expr='ALERTS{alertname=~"QFace.*"}')],
            kind="table",
            width=COLUMNS,
        ),
    ],
    "Queue and admission": [
        _lines(
            "Age of the request that waits longest",
            (f"qface_gateway_oldest_wait_seconds{{{ONE}}}", "{{instance}}"),
            unit=_SECONDS,
        ),
        _lines(
            "With Triton, and how many may be",
            (f"qface_gateway_in_flight{{{ONE}}}", "{{instance}}"),
            (f"qface_gateway_in_flight_limit{{{ONE}}}", "limit {{instance}}"),
        ),
        _lines("Waiting", (f"qface_gateway_waiting{{{ONE}}}", "{{instance}}")),
        _lines(
            "Wait before Triton",
            (_quantile(0.5, "qface_gateway_queue_seconds", _MODEL), "p50"),
            (_quantile(0.99, "qface_gateway_queue_seconds", _MODEL), "p99"),
            unit=_SECONDS,
        ),
        _lines(
            "Waiting as a share of the whole time",
            (
                f"sum(rate(qface_gateway_queue_seconds_sum{{{_MODEL}}}{_RATE}))"
                f" / sum(rate(qface_gateway_request_seconds_sum{{{_ANSWERED}}}{_RATE}))",
                "share",
            ),
            unit=_PERCENTUNIT,
        ),
        _lines("Held", (f"qface_gateway_waiting_bytes{{{ONE}}}", "{{instance}}"), unit=_BYTESIEC),
    ],
    "Refusals": [
        _lines(
            "By reason",
            (f"sum by (reason) (rate(qface_gateway_refused_total{{{ONE}}}{_RATE}))", "{{reason}}"),
            unit=_REQUESTSPERSECOND,
            width=12,
        ),
        _lines(
            "For overload, as a share of all",
            (f"qface:requests_overloaded:ratio_rate5m{{{SERVICE}}}", "{{job}}"),
            unit=_PERCENTUNIT,
            width=12,
        ),
    ],
    "Models": [
        _lines(
            "Answers",
            (
                f"sum by (model) (rate(qface_gateway_request_seconds_count{{{_ANSWERED}}}{_RATE}))",
                "{{model}}",
            ),
            unit=_REQUESTSPERSECOND,
            width=6,
        ),
        _lines(
            "p99",
            (_quantile(0.99, "qface_gateway_request_seconds", _ANSWERED, by="model"), "{{model}}"),
            unit=_SECONDS,
            width=6,
        ),
        _lines(
            "Faces",
            (f"sum by (model) (rate(qface_gateway_faces_total{{{_MODEL}}}{_RATE}))", "{{model}}"),
            (
                f"sum by (model) (rate(qface_gateway_faces_below_quality_total{{{_MODEL}}}{_RATE}))",
                "{{model}}, left out by quality",
            ),
            width=6,
        ),
        _lines(
            "Bytes of a request",
            (
                f"sum by (model) (rate(qface_gateway_request_bytes_total{{{_MODEL}}}{_RATE}))"
                f" / sum by (model) (rate(qface_gateway_admitted_total{{{_MODEL}}}{_RATE}))",
                "{{model}}",
            ),
            unit=_BYTESIEC,
            width=6,
        ),
    ],
    "Callers": [
        _lines(
            "Requests",
            (f"sum by (client) (rate(qface_gateway_client_requests_total{{{ONE}}}{_RATE}))", "{{client}}"),
            unit=_REQUESTSPERSECOND,
            width=12,
            about="By the name of the key or the certificate; empty where callers are not identified.",
        ),
        _lines(
            "Left before the answer",
            (f"sum by (model) (rate(qface_gateway_abandoned_total{{{_MODEL}}}{_RATE}))", "{{model}}"),
            unit=_REQUESTSPERSECOND,
            width=12,
        ),
    ],
    "Triton": [
        _lines(
            "Inferences by step",
            (f"sum by (model) (rate(nv_inference_count{{{ONE}}}{_RATE}))", "{{model}}"),
            width=6,
        ),
        _lines(
            "Samples in a batch",
            (
                f"sum by (model) (rate(nv_inference_count{{{ONE}}}{_RATE}))"
                f" / sum by (model) (rate(nv_inference_exec_count{{{ONE}}}{_RATE}))",
                "{{model}}",
            ),
            width=6,
        ),
        _lines(
            "Waiting in a step's queue",
            (
                f"sum by (model) (rate(nv_inference_queue_duration_us{{{ONE}}}{_RATE}))"
                f" / sum by (model) (rate(nv_inference_request_success{{{ONE}}}{_RATE}))",
                "{{model}}",
            ),
            unit=_MICROSECONDS,
            width=6,
        ),
        _lines(
            "Computing in a step",
            (
                f"sum by (model) (rate(nv_inference_compute_infer_duration_us{{{ONE}}}{_RATE}))"
                f" / sum by (model) (rate(nv_inference_request_success{{{ONE}}}{_RATE}))",
                "{{model}}",
            ),
            unit=_MICROSECONDS,
            width=6,
        ),
        _lines(
            "Failed in a step",
            (f"sum by (model) (rate(nv_inference_request_failure{{{ONE}}}{_RATE}))", "{{model}}"),
            width=12,
        ),
        _lines(
            "Waiting in Triton",
            (f"sum by (model) (nv_inference_pending_request_count{{{ONE}}})", "{{model}}"),
            width=12,
        ),
    ],
    "Processes": [
        _lines(
            "Ready, and with a standby",
            (f"qface_gateway_ready{{{ONE}}}", "ready {{instance}}"),
            (f"qface_gateway_standby_ready{{{ONE}}}", "standby {{instance}}"),
            most=1,
        ),
        _lines(
            "Repairs, restarts, swaps",
            (
                f"sum by (instance, result) (increase(qface_gateway_repairs_total{{{ONE}}}{_RATE}))",
                "repair {{result}} {{instance}}",
            ),
            (
                f"sum by (instance) (increase(qface_gateway_restarts_total{{{ONE}}}{_RATE}))",
                "restart {{instance}}",
            ),
            (
                f"sum by (instance, result) (increase(qface_gateway_swaps_total{{{ONE}}}{_RATE}))",
                "swap {{result}} {{instance}}",
            ),
        ),
        _lines(
            "Events",
            (f"sum by (event) (increase(qface_gateway_events_total{{{ONE}}}{_RATE}))", "{{event}}"),
        ),
        _lines("Number of the active Triton", (f"qface_gateway_backend_generation{{{ONE}}}", "{{instance}}")),
        _lines(
            "Models that answer", (f"qface_gateway_model_ready{{{_MODEL}}}", "{{model}} {{instance}}"), most=1
        ),
        _lines(
            "Memory of the main process",
            (f"process_resident_memory_bytes{{{ONE}}}", "{{instance}}"),
            unit=_BYTESIEC,
        ),
        _lines(
            "Processor time of the main process",
            (f"rate(process_cpu_seconds_total{{{ONE}}}{_RATE})", "{{instance}}"),
            about="In cores. Near 1, further fronts are needed (--processes).",
        ),
        _lines("Open files", (f"process_open_fds{{{ONE}}}", "{{instance}}")),
        _lines(
            "Lost lines of the access log",
            (f"increase(qface_gateway_access_log_lost_total{{{ONE}}}{_RATE})", "{{instance}}"),
        ),
        _lines(
            "Spans of traces",
            (f"sum by (result) (rate(qface_gateway_spans_total{{{ONE}}}{_RATE}))", "{{result}}"),
            about="Dropped ones were lost because the collector was away or too slow.",
        ),
        _lines(
            "Days until the certificate expires",
            (f"(qface_gateway_certificate_expiry_seconds{{{ONE}}} - time()) / 86400", "{{instance}}"),
        ),
    ],
    "GPUs": [
        _lines("Busy", ("qface:gpu_utilization:ratio", "{{instance}} {{gpu}}"), unit=_PERCENTUNIT, most=1),
        _lines(
            "Memory taken",
            ("qface:gpu_memory_used:ratio", "{{instance}} {{gpu}}"),
            unit=_PERCENTUNIT,
            most=1,
        ),
        _lines(
            "Power",
            (f"nv_gpu_power_usage{{{ONE}}}", "{{instance}} {{gpu_uuid}}"),
            ("DCGM_FI_DEV_POWER_USAGE", "{{Hostname}}{{hostname}} {{gpu}}"),
            unit=_WATT,
        ),
        _lines("Temperature", ("DCGM_FI_DEV_GPU_TEMP", "{{Hostname}}{{hostname}} {{gpu}}"), unit=_CELSIUS),
        _lines("Clock", ("DCGM_FI_DEV_SM_CLOCK * 1e6", "{{Hostname}}{{hostname}} {{gpu}}"), unit=_HERTZ),
        _lines(
            "Faults",
            ("DCGM_FI_DEV_XID_ERRORS", "last XID {{Hostname}}{{hostname}} {{gpu}}"),
            ("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "remapped rows {{Hostname}}{{hostname}} {{gpu}}"),
        ),
    ],
    "Answers": [
        _lines(
            "Farthest from the reference",
            (f"topk(10, abs(qface:answer_shift:6h{{{SERVICE}}}))", "{{task}} {{label}}"),
            width=8,
            about="Of an answer's mean over 6 hours, in standard deviations of the reference.",
        ),
        _lines(
            "Spread beside the reference's",
            (f"topk(5, qface:answer_spread:6h{{{SERVICE}}})", "{{task}} {{label}}"),
            (f"bottomk(5, qface:answer_spread:6h{{{SERVICE}}})", "{{task}} {{label}}"),
            width=8,
            about="1: as on the reference faces.",
        ),
        _lines(
            "Faces that were counted",
            (f"qface:answer_faces:increase6h{{{SERVICE}}}", "{{task}}"),
            width=8,
            about="Over 6 hours, a sample.",
        ),
    ],
}


def queries() -> list[str]:
    """Every query of the dashboard, with its variables."""
    return [query.expr for panels in PANELS.values() for panel in panels for query in panel.queries]
