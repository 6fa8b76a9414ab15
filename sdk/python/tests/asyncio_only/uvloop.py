"""Stands before the real one: the worker finds none, and runs on asyncio."""

raise ImportError("these tests run on asyncio's own loop")
