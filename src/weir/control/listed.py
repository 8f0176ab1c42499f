"""Long lists of values as one bound parameter: the store's own (see `weir.store.listed`)."""

from weir.store.listed import AnyRow, among, among_texts, number_list, text_list

__all__ = ["AnyRow", "among", "among_texts", "number_list", "text_list"]
