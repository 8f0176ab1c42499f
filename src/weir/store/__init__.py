"""The only truth: schema, transactions, the change log and migrations."""

from weir.store.backup import back_up, restore
from weir.store.database import Store, Transaction, open_store
from weir.store.memory import MemoryImage, image_of, memory_image, memory_store
from weir.store.notifier import EVERY_CENTRE, ChangeNotifier
from weir.store.problems import (
    LogCutError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreInUseError,
    StoreNewerError,
    StoreUnavailableError,
)

__all__ = [
    "EVERY_CENTRE",
    "ChangeNotifier",
    "LogCutError",
    "MemoryImage",
    "Store",
    "StoreBusyError",
    "StoreError",
    "StoreFullError",
    "StoreInUseError",
    "StoreNewerError",
    "StoreUnavailableError",
    "Transaction",
    "back_up",
    "image_of",
    "memory_image",
    "memory_store",
    "open_store",
    "restore",
]
