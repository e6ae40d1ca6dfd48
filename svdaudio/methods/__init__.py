"""The methods: one file for each workflow. They import the engine, the configuration and, lazily, the views."""
