"""What benches/run is made of; only Python's standard library."""
