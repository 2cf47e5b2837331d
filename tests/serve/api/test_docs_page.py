"""/docs: Swagger UI, from this server alone, wherever a proxy has put it."""

from __future__ import annotations

import re

from browser import visiting
from playwright.sync_api import expect


def test_docs_name_files_of_this_server_alone_and_run_no_other_script(client):
    page = client.get("/docs")
    named = re.findall(r"""(?:href=|src=|url: )["']([^"']+)["']""", page.text)
    assert {"openapi.json", "docs/swagger-ui-bundle.js"} <= set(named)
    for address in named:
        assert not address.startswith("/") and ":" not in address  # a proxy may add a prefix
        assert client.get(f"/{address}").status_code == 200, address
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and re.search(r"script-src 'self' 'sha256-[^ ]+';", policy)
    for path in ("/docs/", "/docs/core.py", "/docs/..%2fcore.py", "/docs/%2e%2e/core.py"):
        assert client.get(path).status_code == 404, path


def test_every_route_is_shown_and_can_be_tried_behind_a_prefix(browser, server, client):
    document = client.get("/openapi.json").json()
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    with visiting(browser, f"{server.url}/docs") as page:
        page.route("**/behind/**", lambda route: route.continue_(url=route.request.url.replace("/behind", "")))
        page.goto(f"{server.url}/behind/docs")
        expect(page.locator(".opblock-summary")).to_have_count(len(routes))
        summaries = page.locator(".opblock-summary").all()
        found = {" ".join(one.locator(f".opblock-summary-{part}").inner_text() for part in ("method", "path"))
                 for one in summaries}  # fmt: skip
        assert {text.replace("\u200b", "") for text in found} == routes
        health = page.locator(".opblock", has=page.locator("[data-path='/health']"))
        health.locator(".opblock-summary-control").click()
        health.get_by_role("button", name="Try it out").click()
        health.get_by_role("button", name="Execute").click()
        expect(health.locator(".request-url")).to_contain_text(f"{server.url}/behind/health")
        expect(health.locator(".live-responses-table .response .microlight").first).to_contain_text('"status": "ok"')
