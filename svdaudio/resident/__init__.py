"""A background process that has imported everything and keeps models loaded, and computes stages for commands.

It writes the same bytes into the same store as the command itself would. A command uses it if it is running, and
otherwise computes in its own process; nothing is lost if either of them dies. May import session and lower layers.
"""
