"""Stages that work on finished sound: choice, finish, scores."""
