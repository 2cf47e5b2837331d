"""How Streamlit is told to serve the dashboard. Light: `jaxgen dashboard` asks before Streamlit is there."""

from __future__ import annotations

import os
from pathlib import Path

RUNS_VARIABLE = "JAXGEN_RUNS"  # the folder of the runs, for the app
PUBLIC_NAME = "STREAMLIT_BROWSER_SERVER_ADDRESS"  # Streamlit's own variable, for a name behind a proxy
APP = Path(__file__).with_name("app.py")
ANY = ("0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "localhost", "::1")

OPTIONS = {
    "browser.gatherUsageStats": "false",
    "server.headless": "true",  # no browser is opened, and nobody is asked for an e-mail address
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
    """What follows `python -m` to serve the dashboard there."""
    options = [*OPTIONS.items(), ("server.address", host), ("server.port", str(port))]
    if PUBLIC_NAME not in os.environ:  # else Streamlit asks an outside host what this machine is called
        options.append(("browser.serverAddress", "localhost" if host in ANY else host))
    if host in LOOPBACK:  # a page elsewhere whose name leads here gets nothing
        options += [("server.allowedHosts", name) for name in ("localhost", "127.0.0.1", "[::1]")]
    return ["streamlit", "run", str(APP), *(f"--{name}={value}" for name, value in options)]
