"""The engine: stages, requests, plans, runs and batches of any method.

It knows no method, and imports only store, config and the base modules.
"""
