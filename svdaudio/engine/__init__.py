"""The engine: stages, requests, plans, runs and batches of any method.

It contains nothing about any one method. Imports only store, config, base modules, and one type of models.
"""
