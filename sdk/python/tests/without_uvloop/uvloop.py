"""Stands in front of the real one: workers then have asyncio's own loop."""

raise ImportError("not in this test")
