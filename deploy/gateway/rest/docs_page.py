"""The page for people: the specification as HTML. No script, no other host, no file beside it."""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.gateway.rest.openapi import FORM_FIELD
from deploy.gateway.rest.problems import STATUSES

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1c1c24}
h1,h2{line-height:1.2}code,pre{font:14px/1.5 ui-monospace,monospace;background:#f2f2f6;border-radius:4px}
code{padding:.1em .3em}pre{padding:.8em;overflow:auto}pre code{padding:0}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4em .8em .4em 0;
border-bottom:1px solid #ddd}
@media(prefers-color-scheme:dark){body{background:#15151b;color:#e8e8ee}code,pre{background:#24242c}
th,td{border-color:#333}a{color:#8ab8ff}}
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_WEB = (
    '<h2>Try it</h2><p><a href="./">The page</a> takes photos, and shows what is answered of each face.</p>'
)
# What the page may load and where its form may go: nothing but this style, nowhere but here.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def page(specified: Mapping[str, Any], tasks: Mapping[str, Any], *, place: str, has_web: bool) -> str:
    """HTML of a specification and of what `GET /v1/tasks` answers.

    place    scheme and host of the server
    has_web  whether the page for photos is served too: then it is linked
    """
    analyze = specified["paths"]["/v1/analyze"]["post"]
    keys = "securitySchemes" in specified["components"]
    key = " -H 'Authorization: Bearer KEY'" if keys else ""
    first = tasks["tasks"][0]["name"] if tasks["tasks"] else ""
    lines = [
        f"curl{key} --data-binary @photo.jpg {place}/v1/analyze",
        f"curl{key} -F {FORM_FIELD}=@photo.jpg '{place}/v1/analyze?tasks={first}'",
        f"curl{key} {place}/v1/tasks",
        f"curl{key} {place}/openapi.json",
    ]
    form = (
        ""
        if keys
        else '<h2>Try it</h2><form method="post" action="v1/analyze" enctype="multipart/form-data">'
        f'<input type="file" name="{FORM_FIELD}" accept="image/*" required> <button>Analyze</button></form>'
    )
    notice = f"<h2>Notice</h2><p>{_text(tasks['notice'])}</p>" if tasks["notice"] else ""
    parameters = [
        (
            f"<code>{_text(each['name'])}</code>",
            each["in"],
            _text(each["description"]),
            _words(each["schema"]),
        )
        for each in analyze["parameters"]
    ]
    answered = [
        (f"<code>{_text(task['name'])}</code>", _text(task["kind"]), _text(task["unit"]),
         _text(", ".join(task["labels"])))
        for task in tasks["tasks"]
    ]  # fmt: skip
    statuses = [(f'<span id="{status}">{status}</span>', _text(STATUSES[status])) for status in STATUSES]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Q-Face</title>'
        f"<style>{_STYLE}</style></head><body><h1>Q-Face over HTTP</h1>"
        f"<pre><code>{_text(chr(10).join(lines))}</code></pre>{_WEB if has_web else form}{notice}"
        f"<h2>What a request may name</h2>{_table(('name', 'in', 'what it is', 'values'), parameters)}"
        f"<h2>Tasks</h2><p>Contract <code>{_text(tasks['contract'])}</code>.</p>"
        f"{_table(('task', 'kind', 'unit', 'labels'), answered)}"
        "<h2>Statuses</h2><p>Anything but 200 is <code>application/problem+json</code> with "
        "<code>detail</code>, a sentence, and <code>reason</code>, a word.</p>"
        f"{_table(('status', 'when'), statuses)}"
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p></body></html>\n'
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{row(head, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"


def _words(schema: Mapping[str, Any]) -> str:
    """A parameter's values, for people."""
    if "items" in schema:
        return _text(", ".join(schema["items"].get("enum", ())))
    if "enum" in schema:
        return _text(", ".join(schema["enum"]))
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    bounds = "" if low is None else f" of {low:g} to {schema.get('maximum', float('inf')):g}"
    default = f", {schema['default']:g} without" if "default" in schema else ""
    return _text(f"{schema['type']}{bounds}{default}")


def _text(text: str) -> str:
    return html.escape(text)
