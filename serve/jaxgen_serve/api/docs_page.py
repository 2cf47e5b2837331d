"""/docs: the OpenAPI document as one page of plain HTML, which needs no script and no other host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from jaxgen_serve.api.schemas import WHY

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: light-dark(#3949ab, #9fa8da); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; } a { color: var(--accent); }
section { border: 1px solid var(--line); border-radius: .6rem; padding: .2rem 1rem .8rem; margin: 1rem 0; }
h3 { font: 600 1rem ui-monospace, monospace; overflow-wrap: anywhere; } h3 b { color: var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } caption { text-align: left; font-weight: 600; }
td { vertical-align: top; padding: .25rem .6rem .25rem 0; border-top: 1px solid var(--line); }
td:first-child { white-space: nowrap; } td:last-child { width: 99%; }
@media (min-width: 40rem) { td:nth-child(2):not(:last-child) { white-space: nowrap; } }
code { background: var(--soft); padding: .05rem .3rem; border-radius: .3rem; }
pre { background: var(--soft); padding: .7rem; border-radius: .4rem; overflow-x: auto; } pre code { background: none; }
.wide { overflow-x: auto; }
"""
WORDS = {"string": "text", "number": "number", "integer": "integer", "boolean": "true or false"}
EXAMPLE = """curl {here}generate -d '{{"seed": 7, "label": 3}}' -o three.png \\
     -H 'Content-Type: application/json' -H 'Accept: image/png'"""


def page(openapi: Mapping[str, Any], here: str) -> str:
    """The whole page, for a document as FastAPI makes it; here: the server's address, a slash at its end."""
    info = openapi["info"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style>"
        f"<main><h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info.get('summary', ''))} This page is <a href=openapi.json>openapi.json</a> for people; "
        f"<a href=app/>the page to draw with</a> is another.</p>"
        f"<pre><code>{escape(EXAMPLE.format(here=here))}</code></pre>"
        f"<p>A failure is <code>{{&quot;detail&quot;: &quot;one line&quot;}}</code> with one of these:</p>"
        f"{_table('', [_cells(str(code), why) for code, why in WHY.items()])}{''.join(_groups(openapi))}</main></html>"
    )


def _groups(openapi: Mapping[str, Any]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_operation(openapi, method.upper(), path, operation))
    for tag, operations in groups.items():
        yield f"<h2>{escape(tag.capitalize())}</h2>{''.join(operations)}"


def _operation(openapi: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<section><h3><b>{method}</b> {escape(path)}</h3><p>{_text(operation.get('description', ''))}</p>"]
    rows = [
        _row(value["name"], value["schema"], value.get("required", False), value.get("description"))
        for value in operation.get("parameters", [])
    ]
    parts.append(_table("Parameters", rows))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(openapi, content["schema"])
        wanted = schema.get("required", [])
        rows = [_row(name, value, name in wanted) for name, value in schema.get("properties", {}).items()]
        parts.append(_table(f"Body ({kind})", rows))
    parts += _answers(openapi, operation["responses"])
    return "".join([*parts, "</section>"])


def _answers(openapi: Mapping[str, Any], responses: Mapping[str, Any]) -> Iterator[str]:
    """What comes back when all is well, and the statuses when it is not."""
    for code, answer in responses.items():
        for kind, content in answer.get("content", {}).items() if code < "300" else ():
            schema = _resolved(openapi, content.get("schema", {}))
            names = ", ".join(f"<code>{escape(name)}</code>" for name in schema.get("properties", {}))
            yield f"<p><b>Answer</b> ({kind}){': ' if names else ''}{names}</p>"
    failures = ", ".join(f"<code>{code}</code>" for code in sorted(responses) if code >= "400")
    yield f"<p><b>Failures</b>: {failures}</p>"


def _resolved(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that a schema names, through references and 'or null'."""
    for choice in schema.get("anyOf", schema.get("allOf", [])):
        if choice.get("type") != "null":
            return _resolved(openapi, choice)
    if "$ref" not in schema:
        return schema
    return openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]


def _cells(name: str, *texts: str) -> str:
    return f"<tr><td><code>{escape(name)}</code>" + "".join(f"<td>{_text(text)}" for text in texts)


def _row(name: str, schema: Mapping[str, Any], required: bool = False, description: str | None = None) -> str:
    about = [description, schema.get("description"), *(one.get("description") for one in _choices(schema))]
    kind = _kind(schema) + (" (required)" if required else "")
    return _cells(name, kind, next((text for text in about if text), ""))


def _text(text: str) -> str:
    """Escaped, with `code` as such."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _choices(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a value may be, but for null."""
    return [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words: 'integer 0 to 9, or text'."""
    choices = _choices(schema)
    if choices:
        return ", or ".join(_kind(choice) for choice in choices)
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}s"
    kind = "file" if "contentMediaType" in schema else WORDS.get(schema.get("type", ""), "object")
    least, most = schema.get("minimum"), schema.get("maximum")
    return kind if least is None or most is None else f"{kind} {least:.0f} to {most:.0f}"


def _table(caption: str, rows: list[str]) -> str:
    title = f"<caption>{caption}</caption>" if caption else ""
    return f"<div class=wide><table>{title}{''.join(rows)}</table></div>" if rows else ""
