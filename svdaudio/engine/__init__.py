"""The engine: stages, requests, plans, runs and batches of any method.

It contains nothing about any one method, and imports only store, config and the base modules.
"""
