"""Services that are made of other services."""
