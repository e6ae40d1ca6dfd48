"""Prefect: flows, tasks, pages, schedules, a local server, and clusters. Imports `svdaudio` and Prefect alone."""

import os

QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""In the environment of every process that runs Prefect: no telemetry."""

# Set here because Prefect reads them when it is imported, and every flow is imported after this.
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
