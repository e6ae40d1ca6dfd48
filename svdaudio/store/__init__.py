"""The store: artifacts by action key, and run records.

May import only the base modules. Importing it loads neither zarr nor numpy.
"""

from svdaudio.store.base import Footprint, Leftover, Store
from svdaudio.store.keys import Action, digest_array, digest_file
from svdaudio.store.local import LocalStore
from svdaudio.store.opening import is_remote, open_store
from svdaudio.store.records import ArraySpec, ArtifactRecord
from svdaudio.store.runs import FileUse, FolderRunLog, RunLog, RunRecord, StageEntry

__all__ = [
    "Action",
    "ArraySpec",
    "ArtifactRecord",
    "FileUse",
    "FolderRunLog",
    "Footprint",
    "Leftover",
    "LocalStore",
    "RunLog",
    "RunRecord",
    "StageEntry",
    "Store",
    "digest_array",
    "digest_file",
    "is_remote",
    "open_store",
]
