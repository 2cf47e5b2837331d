"""Streamlit's options for the dashboard. This module must not import Streamlit, which may not be installed."""

from __future__ import annotations

from pathlib import Path

RUNS_VARIABLE = "JAXGEN_RUNS"  # the folder of the runs, for the app
APP = Path(__file__).with_name("app.py")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

OPTIONS = {
    "browser.gatherUsageStats": "false",
    "logger.hideWelcomeMessage": "true",  # the command prints the address
    "logger.level": "warning",
    "server.headless": "true",  # opens no browser and does not ask for an e-mail address
    "server.maxUploadSize": "64",
    "server.fileWatcherType": "none",
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "none",  # no path of this machine on a page
    "theme.baseRadius": "0.6rem",
    "theme.paddingTop": "1.5rem",
    "theme.headingFontSizes": '["2rem", "1.6rem", "1.25rem"]',
    "theme.chartCategoricalColors": '["#6d66f5", "#f08c2e", "#12a594", "#e5484d", "#3e9ae8", "#b35cd6"]',
    "theme.light.primaryColor": "#4f46e5",
    "theme.light.backgroundColor": "#fbfbfd",
    "theme.light.secondaryBackgroundColor": "#f0f1f7",
    "theme.light.textColor": "#1c1d29",
    "theme.light.borderColor": "#dcdde8",
    "theme.dark.primaryColor": "#7069f4",
    "theme.dark.backgroundColor": "#13141c",
    "theme.dark.secondaryBackgroundColor": "#1e2029",
    "theme.dark.textColor": "#ececf4",
    "theme.dark.borderColor": "#343644",
}


def arguments(host: str, port: int) -> list[str]:
    """The arguments of `python -m` that serve the dashboard."""
    options = [*OPTIONS.items(), ("server.address", host), ("server.port", str(port))]
    if host in LOOPBACK:  # rejects foreign pages whose host name resolves to this machine
        options += [("server.allowedHosts", name) for name in ("localhost", "127.0.0.1", "[::1]")]
    return ["jaxgen_serve.dashboard", "run", str(APP), *(f"--{name}={value}" for name, value in options)]
