"""A process in the background that has imported everything and holds the models, to which commands hand their stages.

It computes what the command would have computed, into the same store, with the same bytes. A command finds it if it
runs, and computes by itself if not; nothing is lost if either of them dies. May import session and what lies below it.
"""
