"""What is too large for the store: blobs by their content, and logs."""

from weir.files.blobs import BlobStore
from weir.files.logs import LogStore
from weir.files.problems import BlobMismatchError, BlobTooLargeError, FilesFullError, OffsetError

__all__ = ["BlobMismatchError", "BlobStore", "BlobTooLargeError", "FilesFullError", "LogStore", "OffsetError"]
