"""Prefect: flows, tasks, pages, schedules, a local server, and clusters. Imports only `svdaudio` and Prefect."""

import os

QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
"""Environment variables of every process that runs Prefect, to disable telemetry."""

# Set here because Prefect reads them on import, and this module is imported before any flow.
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
