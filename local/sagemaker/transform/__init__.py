"""Batch transform's data: split into records, filtered, sent, joined and put together again."""
