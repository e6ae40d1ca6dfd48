"""Runners of the stage table: `in_process` calls the tasks, `prefect_runner` submits them to Prefect.

`runner(...)` chooses. Importing this package, or `flows.in_process`, does not import prefect.
"""
