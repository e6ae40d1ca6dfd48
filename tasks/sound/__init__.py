"""Stages that work on finished sound: choice, scores."""
